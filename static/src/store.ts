// The state of this tab: every message goes through the one reducer, whoever sent it.
import { ref, shallowRef } from 'vue'
import { announce } from './announce.ts'
import { ask } from './api.ts'
import { openLink } from './live_connection.ts'
import workerUrl from './live_connection.worker.ts?worker&url'
import { EMPTY, reduce, type Message, type State } from './reducer.ts'
import type { Models, Snapshot, Transcript } from './types.ts'

export const state = shallowRef<State>(EMPTY)
export const heard = ref(Date.now()) // when the service last said anything

let fetching = false

/** A message of the link, or one that makes the state stale. */
export function tell(message: Message): void {
  if (message.type !== 'link') heard.value = Date.now()
  if (message.type === 'update') announce(state.value.jobs[message.job.id], message.job)
  take(message)
  if (state.value.stale && !fetching) void refresh()
}

function take(message: Message): void {
  state.value = reduce(state.value, message)
}

async function refresh(): Promise<void> {
  fetching = true
  const answer = await ask<Snapshot>('GET', '/api/state?limit=200')
  fetching = false
  if (answer.ok) {
    tell({ type: 'snapshot', snapshot: answer.value })
    void readModels()
    for (const id of Object.keys(state.value.texts)) void read(id) // whoever reads a text may have missed lines of it
  } else if (!state.value.loaded) {
    if (state.value.link === 'connecting') take({ type: 'link', link: 'reconnecting' })
    setTimeout(() => tell({ type: 'reset' }), 3_000)
  }
}

/** Fetches a transcript whole; false if there is none. */
export async function read(id: string): Promise<boolean> {
  const answer = await ask<Transcript>('GET', `/api/jobs/${id}/transcript`)
  if (answer.ok) take({ type: 'transcript', id, transcript: answer.value })
  return answer.ok
}

/** Fetches what there is of models; the link tells what becomes of each. */
export async function readModels(): Promise<void> {
  const answer = await ask<Models>('GET', '/api/models')
  if (answer.ok) take({ type: 'models', models: answer.value })
}

interface Policy { createScriptURL(url: string): unknown }
const trusted = (globalThis as { trustedTypes?: { createPolicy(name: string, rules: object): Policy } }).trustedTypes

export function start(): void {
  void refresh()
  if ('SharedWorker' in globalThis) {
    const policy = trusted?.createPolicy('hub', { createScriptURL: (url: string) => url })
    const url = (policy ? policy.createScriptURL(workerUrl) : workerUrl) as string
    const { port } = new SharedWorker(url, { type: 'module', name: 'link' })
    port.onmessage = ({ data }) => tell(data as Message)
    port.postMessage('hello')
    addEventListener('pagehide', () => port.postMessage('bye'))
    addEventListener('pageshow', (event) => { if (event.persisted) port.postMessage('hello') })
    return
  }
  let close: (() => void) | undefined
  const look = () => {
    if (document.hidden) {
      close?.()
      close = undefined
    } else close ??= openLink(tell)
  }
  document.addEventListener('visibilitychange', look)
  look()
}
