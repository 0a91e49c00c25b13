// The state of this tab. Every message goes through the one reducer.
import { computed, ref, shallowRef } from 'vue'
import { announce } from './announce.ts'
import { request } from './api.ts'
import { openConnection } from './live_connection.ts'
import workerUrl from './live_connection.worker.ts?worker&url'
import { INITIAL, reduce, type Message, type Older, type State } from './reducer.ts'
import type { Models, Snapshot, SpeakerList, System, Transcript } from './types.ts'

export const state = shallowRef<State>(INITIAL)
export const lastMessageAt = ref(Date.now())

const served = document.title // the service writes it into the page
/** What the site is called. */
export const siteTitle = computed(() => state.value.system?.title ?? served)

const RETRY_MS = 3_000
/** Chunks of a job whose newest line the list fetches while it polls: an hour. Longer texts are too much for one line. */
const NEWEST_UP_TO = 120
let fetching = false

const listeners = new Set<(message: Message) => void>()
/** Hear every message after it was applied. Returns what ends that. */
export function listen(listener: (message: Message) => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** Apply a message that came from outside. Fetch a snapshot if the state is stale afterwards. */
export function dispatch(message: Message): void {
  if (message.type !== 'connection') lastMessageAt.value = Date.now()
  if (message.type === 'update') announce(state.value.jobs[message.job.id], message.job)
  if (message.type === 'settings') void fetchSystem()
  const { jobs: before, stale: missed } = state.value
  apply(message)
  if (message.type === 'snapshot') fetchLines(before, missed)
  if (message.type === 'speakers' && message.timeline_changed && state.value.texts[message.id])
    void fetchSpeakers(message.id)
  if (state.value.stale && !fetching) void fetchSnapshot()
}

function apply(message: Message): void {
  state.value = reduce(state.value, message)
  for (const listener of listeners) listener(message)
}

async function fetchSnapshot(): Promise<void> {
  fetching = true
  const answer = await request<Snapshot>('GET', '/api/state?limit=200')
  fetching = false
  if (answer.ok) {
    dispatch({ type: 'snapshot', snapshot: answer.value })
    void fetchModels()
  } else if (!state.value.loaded) {
    if (state.value.connection === 'connecting') apply({ type: 'connection', connection: 'reconnecting' })
    setTimeout(() => dispatch({ type: 'reset' }), RETRY_MS)
  }
}

/** Fetch lines that came without an event: the events are blocked, or some may have been `missed`. A snapshot has none. */
function fetchLines(before: State['jobs'], missed: boolean): void {
  const { jobs, texts, connection } = state.value
  const changed = (id: string) => missed || JSON.stringify(jobs[id]) !== JSON.stringify(before[id])
  for (const id of Object.keys(texts)) if (changed(id)) void fetchTranscript(id)
  if (connection !== 'polling') return
  for (const { id, status, chunks_done } of Object.values(jobs)) {
    const news = status === 'processing' && chunks_done > (before[id]?.chunks_done ?? 0) && !texts[id]
    if (news && chunks_done <= NEWEST_UP_TO) void fetchNewestLine(id)
  }
}

/** Fetch the line that the list shows of a job. */
async function fetchNewestLine(id: string): Promise<void> {
  const answer = await request<Transcript>('GET', `/api/jobs/${id}/transcript`)
  const segment = answer.ok && answer.value.segments.at(-1)
  if (segment) apply({ type: 'segment', seq: 0, id, segment })
}

/** Fetch a whole transcript. False: there is none. */
export async function fetchTranscript(id: string, tries = 3): Promise<boolean> {
  apply({ type: 'reading', id })
  const answer = await request<Transcript>('GET', `/api/jobs/${id}/transcript`)
  // Edits came meanwhile: what it says was deleted may be back. And lines that were deleted before may have been missed.
  const isLate = answer.ok && answer.value.edits < (state.value.edits[id] ?? 0)
  if (isLate && tries > 1) return fetchTranscript(id, tries - 1)
  if (answer.ok) apply({ type: 'transcript', id, transcript: answer.value })
  if (answer.ok && answer.value.speakers.length) void fetchSpeakers(id)
  return answer.ok
}

/** Fetch the versions of a transcript that may be older than the jobs of the list. */
export async function fetchVersions(id: string): Promise<void> {
  if (state.value.loaded && state.value.next === null) return // the list has all jobs
  const answer = await request<Older>('GET', `/api/jobs?of=${id}&limit=200`)
  if (answer.ok) apply({ type: 'older', page: { jobs: answer.value.jobs, next: state.value.next } })
}

const asked = new Map<string, number>()
/** Fetch who speaks when in a job. Of several answers the last one that was asked for counts. */
export async function fetchSpeakers(id: string): Promise<void> {
  const nth = (asked.get(id) ?? 0) + 1
  asked.set(id, nth)
  const changes = state.value.speakers[id]?.changes ?? 0
  const answer = await request<SpeakerList>('GET', `/api/jobs/${id}/speakers`)
  if (answer.ok && asked.get(id) === nth) apply({ type: 'speaker_list', id, changes, list: answer.value })
}

/** Fetch the state of the service, which has the title and the models. */
async function fetchSystem(): Promise<void> {
  const answer = await request<System>('GET', '/api/system')
  if (answer.ok) apply({ type: 'system', system: answer.value })
}

/** Fetch the list of models. The live connection brings the changes of each. */
export async function fetchModels(): Promise<void> {
  const answer = await request<Models>('GET', '/api/models')
  if (answer.ok) apply({ type: 'models', models: answer.value })
}

interface Policy {
  createScriptURL(url: string): unknown
}
const trusted = (globalThis as { trustedTypes?: { createPolicy(name: string, rules: object): Policy } }).trustedTypes

export function start(): void {
  void fetchSnapshot()
  if ('SharedWorker' in globalThis) startWorker()
  else connectWhileVisible()
}

function startWorker(): void {
  const policy = trusted?.createPolicy('hub', { createScriptURL: (url: string) => url }) // the service allows this name
  const url = (policy ? policy.createScriptURL(workerUrl) : workerUrl) as string
  const { port } = new SharedWorker(url, { type: 'module', name: 'live connection' })
  port.onmessage = ({ data }) => dispatch(data as Message)
  port.postMessage('hello')
  addEventListener('pagehide', () => port.postMessage('bye'))
  addEventListener('pageshow', (event) => {
    if (event.persisted) port.postMessage('hello')
  })
}

/** Without a shared worker each tab has a connection while it is visible: browsers open only six to one address. */
function connectWhileVisible(): void {
  let close: (() => void) | undefined
  const update = () => {
    if (document.hidden) {
      close?.()
      close = undefined
    } else close ??= openConnection(dispatch)
  }
  document.addEventListener('visibilitychange', update)
  update()
}
