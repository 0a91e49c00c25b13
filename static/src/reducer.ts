// Messages in, state out: nothing here knows of a browser.
import type { Hub, Job, Link, Model, Models, Page, Segment, Snapshot, Status, System, Transcript } from './types.ts'

export type Message =
  | { type: 'link'; link: Link }
  | { type: 'hello'; seq: number; boot: string; ui: string | null }
  | { type: 'ping' }
  | { type: 'snapshot'; snapshot: Snapshot }
  | { type: 'reset' }
  | { type: 'update'; seq: number; job: Job }
  | { type: 'segment'; seq: number; id: string; segment: Segment }
  | { type: 'model'; seq: number; model: Model }
  | { type: 'system'; system: System }
  | { type: 'models'; models: Models }
  | { type: 'deleted'; seq: number; id: string }
  | { type: 'transcript'; id: string; transcript: Transcript }
  | { type: 'older'; page: Page }

export type Counts = Record<Status, number>

export interface State {
  link: Link
  loaded: boolean
  stale: boolean // the log does not reach back to us, or we may have missed something: a snapshot is due
  seq: number
  boot: string
  jobs: Record<string, Job>
  counts: Counts // of all jobs there are, not of the known ones only
  seen: Record<string, number> // id -> seq of what we know of the job; for a deleted one too, so that nothing revives it
  next: string | null
  system: System | null
  models: Model[] | null // null: not asked for yet
  hub: Hub | null
  ui: { first: string; now: string } | null // the build of the page that the service hands out: when this tab began, and now
  texts: Record<string, Segment[]>
  said: Record<string, string> // id -> the words that came last
}

const NONE: Counts = { pending: 0, processing: 0, paused: 0, completed: 0, failed: 0, cancelled: 0 }

export const EMPTY: State = {
  link: 'connecting', loaded: false, stale: true, seq: 0, boot: '', jobs: {}, counts: NONE, seen: {}, next: null, system: null, models: null, hub: null, ui: null, texts: {}, said: {},
}

export function reduce(state: State, message: Message): State {
  switch (message.type) {
    case 'link':
      return { ...state, link: message.link }
    case 'ping':
      return state
    case 'hello':
      // What came between our snapshot and this stream is replayed only if the stream was asked to; fetching is always right.
      return { ...state, ui: built(state.ui, message.ui), stale: state.stale || message.boot !== state.boot || message.seq > state.seq }
    case 'reset':
      return { ...state, stale: true }
    case 'snapshot':
      return snapshot(state, message.snapshot)
    case 'older':
      return older(state, message.page)
    case 'update':
      return update(state, message.seq, message.job)
    case 'system':
      return { ...state, system: message.system }
    case 'models':
      return { ...state, models: message.models.models, hub: message.models.hub }
    case 'model': {
      const seq = Math.max(state.seq, message.seq)
      if (!state.models) return { ...state, seq }
      const known = state.models.some(({ name }) => name === message.model.name)
      const models = known ? state.models.map((model) => (model.name === message.model.name ? message.model : model)) : [...state.models, message.model]
      return { ...state, seq, models }
    }
    case 'deleted': {
      if (message.seq <= (state.seen[message.id] ?? -1)) return state
      const { [message.id]: gone, ...jobs } = state.jobs
      const { [message.id]: _text, ...texts } = state.texts
      const counts = gone ? { ...state.counts, [gone.status]: Math.max(0, state.counts[gone.status] - 1) } : state.counts
      return { ...state, seq: Math.max(state.seq, message.seq), jobs, texts, counts, seen: { ...state.seen, [message.id]: message.seq } }
    }
    case 'segment': {
      const lines = state.texts[message.id]
      const seq = Math.max(state.seq, message.seq)
      const said = { ...state.said, [message.id]: message.segment.text.trim() }
      if (!lines) return { ...state, seq, said } // nobody reads it: the transcript is fetched whole when somebody does
      return { ...state, seq, said, texts: { ...state.texts, [message.id]: merge(lines, [message.segment]) } }
    }
    case 'transcript': {
      const known = state.texts[message.id] ?? []
      return { ...state, texts: { ...state.texts, [message.id]: merge(known, message.transcript.segments) } }
    }
  }
}

function update(state: State, seq: number, job: Job): State {
  if (seq <= (state.seen[job.id] ?? -1)) return state
  const counts = { ...state.counts }
  const known = state.jobs[job.id]
  if (known) counts[known.status] = Math.max(0, counts[known.status] - 1)
  if (known || !beyond(state, job.id)) counts[job.status] += 1 // what an older one counted as is not known here; the next snapshot says
  return { ...state, seq: Math.max(state.seq, seq), counts, jobs: { ...state.jobs, [job.id]: job }, seen: { ...state.seen, [job.id]: seq } }
}

/** Whether a job is older than all that were fetched, while there are older ones. */
const beyond = (state: State, id: string): boolean => state.next !== null && Object.keys(state.jobs).every((known) => id < known)

const built = (before: State['ui'], now: string | null): State['ui'] => (now === null ? before : { first: before?.first ?? now, now })

function snapshot(state: State, { seq, boot, ui_version, jobs: page, system }: Snapshot): State {
  const same = boot === state.boot
  if (same && seq < state.seq) return state.loaded ? { ...state, stale: false } : state // answered late: we are further
  const oldest = page.next === null ? '' : page.jobs.reduce((low, job) => (job.id < low ? job.id : low), '\uffff')
  const jobs: Record<string, Job> = {}
  for (const job of Object.values(state.jobs)) if (job.id < oldest) jobs[job.id] = job // beyond this page
  const seen: Record<string, number> = same ? { ...state.seen } : {}
  for (const job of page.jobs) {
    jobs[job.id] = job
    seen[job.id] = Math.max(seq, same ? (seen[job.id] ?? 0) : 0)
  }
  const next = oldest !== '' && Object.keys(jobs).length > page.jobs.length ? state.next : page.next
  return { ...state, loaded: true, stale: false, seq, boot, jobs, seen, next, system, ui: built(state.ui, ui_version), counts: { ...NONE, ...system.jobs } }
}

function older(state: State, page: Page): State {
  const jobs = { ...state.jobs }
  for (const job of page.jobs) if (!(job.id in state.seen)) jobs[job.id] = job
  return { ...state, jobs, next: page.next }
}

const before = (a: Segment, b: Segment) => a.chunk - b.chunk || a.index - b.index

/** Both lists as one in order; where a place is in both, the later word counts. */
export function merge(known: Segment[], said: Segment[]): Segment[] {
  const last = known.at(-1)
  if (last === undefined || (said[0] !== undefined && said.length === 1 && before(last, said[0]) < 0)) return [...known, ...said]
  const places = new Map(known.map((segment) => [`${segment.chunk}.${segment.index}`, segment]))
  for (const segment of said) {
    const key = `${segment.chunk}.${segment.index}`
    if (JSON.stringify(places.get(key)) !== JSON.stringify(segment)) places.set(key, segment) // else nothing is to be drawn anew
  }
  return [...places.values()].sort(before)
}

/** Newest first: ids sort by the time they were made. */
export function listed(state: State): Job[] {
  return Object.values(state.jobs).sort((a, b) => (a.id < b.id ? 1 : -1))
}
