// Messages in, state out. Pure: nothing here needs a browser.
import type { Speaker } from './edit/speakers.ts'
import { lineId } from './transcript_text.ts'
import type {
  EditResult,
  Hub,
  Job,
  JobList,
  Mark,
  Model,
  Models,
  Segment,
  Snapshot,
  SpeakerList,
  Status,
  System,
  Transcript,
} from './types.ts'

export type ConnectionState = 'connecting' | 'live' | 'reconnecting' | 'polling' | 'offline'

export type Message =
  | { type: 'connection'; connection: ConnectionState }
  | { type: 'hello'; seq: number; boot: string; ui: string | null }
  | { type: 'ping' }
  | { type: 'settings'; seq: number }
  | { type: 'snapshot'; snapshot: Snapshot }
  | { type: 'reset' }
  | { type: 'update'; seq: number; job: Job }
  | { type: 'segment'; seq: number; id: string; segment: Segment }
  | { type: 'edit'; seq: number; edit: EditResult }
  | { type: 'speakers'; seq: number; id: string; speakers: Speaker[]; timeline_changed: boolean }
  | { type: 'speaker_list'; id: string; changes: number; list: SpeakerList }
  | { type: 'model'; seq: number; model: Model }
  | { type: 'system'; system: System }
  | { type: 'models'; models: Models }
  | { type: 'deleted'; seq: number; id: string }
  | { type: 'reading'; id: string }
  | { type: 'transcript'; id: string; transcript: Transcript }
  | { type: 'older'; page: Older }

export type Older = Pick<JobList, 'jobs' | 'next'>

export type Counts = Record<Status, number>

export interface State {
  connection: ConnectionState
  loaded: boolean
  stale: boolean // changes may have been missed: a snapshot is needed
  seq: number // the newest change that was applied
  boot: string // which run of the service the numbers of changes belong to
  jobs: Record<string, Job>
  counts: Counts // of all jobs, not only of those that were fetched
  seen: Record<string, number> // by job id: the newest change that was applied, also of a deleted job, so that no older one brings it back
  next: string | null // the cursor of the next page of jobs; null: all were fetched
  system: System | null
  models: Model[] | null // null: not fetched yet
  hub: Hub | null
  ui: { first: string; now: string } | null // the build of the page: when this tab was opened, and now
  texts: Record<string, Segment[]>
  deletedLines: Record<string, string[]> // IDs of lines that people deleted, of the jobs in `texts`
  edits: Record<string, number> // the number of the newest edit in a text
  speakers: Record<string, KnownSpeakers> // of the jobs in `texts`, by id
  marks: Record<string, Mark[]> // of the jobs in `texts`, by id, the oldest first
  goneMarks: Record<string, string[]> // IDs of marks that were taken away, of the jobs in `texts`
  lastText: Record<string, string> // by job id: the text of the newest segment
}

/** Who speaks in a job. `changes`: how often the speakers changed since the page was opened. */
export interface KnownSpeakers extends SpeakerList {
  changes: number
}

const NO_COUNTS: Counts = { pending: 0, processing: 0, paused: 0, completed: 0, failed: 0, cancelled: 0 }

export const INITIAL: State = {
  connection: 'connecting',
  loaded: false,
  stale: true,
  seq: 0,
  boot: '',
  jobs: {},
  counts: NO_COUNTS,
  seen: {},
  next: null,
  system: null,
  models: null,
  hub: null,
  ui: null,
  texts: {},
  deletedLines: {},
  edits: {},
  speakers: {},
  marks: {},
  goneMarks: {},
  lastText: {},
}

export function reduce(state: State, message: Message): State {
  switch (message.type) {
    case 'connection':
      return { ...state, connection: message.connection }
    case 'ping':
      return state
    case 'settings':
      return { ...state, seq: Math.max(state.seq, message.seq) }
    case 'hello':
      // A stream repeats what came since our snapshot only if it was asked to. A new snapshot is always right.
      return {
        ...state,
        ui: pageBuild(state.ui, message.ui),
        stale: state.stale || message.boot !== state.boot || message.seq > state.seq,
      }
    case 'reset':
      return { ...state, stale: true }
    case 'snapshot':
      return applySnapshot(state, message.snapshot)
    case 'older':
      return addOlder(state, message.page)
    case 'update':
      return updateJob(state, message.seq, message.job)
    case 'system':
      return { ...state, system: message.system }
    case 'models':
      return { ...state, models: message.models.models, hub: message.models.hub }
    case 'model':
      return updateModel(state, message.seq, message.model)
    case 'deleted':
      return deleteJob(state, message.seq, message.id)
    case 'segment':
      return addSegment(state, message.seq, message.id, message.segment)
    case 'reading': // from now on the segments of this job are kept: some may come before the transcript
      return state.texts[message.id] ? state : { ...state, texts: { ...state.texts, [message.id]: [] } }
    case 'edit':
      return applyEdit(state, message.seq, message.edit)
    case 'speakers': {
      const newest = { ...state, seq: Math.max(state.seq, message.seq) }
      return state.texts[message.id] ? setSpeakers(newest, message.id, message.speakers) : newest
    }
    case 'speaker_list': {
      const { id, changes, list } = message
      const known = state.speakers[id]
      const isLate = known !== undefined && known.changes > changes // its speakers are older than those that are known
      const speakers = isLate ? known.speakers : list.speakers
      return { ...state, speakers: { ...state.speakers, [id]: { ...list, speakers, changes: known?.changes ?? 0 } } }
    }
    case 'transcript': {
      const { segments, deleted, edits, marks = [], speakers = [] } = message.transcript
      const isLate = edits < (state.edits[message.id] ?? 0) // what it says was deleted may be back by now
      const gone = isLate ? [] : deleted
      const text = changeText(state, message.id, edits, segments, [...(state.deletedLines[message.id] ?? []), ...gone])
      const known = isLate ? withMarks(state, message.id, marks, state.marks[message.id] ?? []) : marks
      const marked = { ...text, marks: { ...text.marks, [message.id]: known } }
      return isLate ? marked : setSpeakers(marked, message.id, speakers)
    }
  }
}

function updateJob(state: State, seq: number, job: Job): State {
  if (seq <= (state.seen[job.id] ?? -1)) return state
  const counts = { ...state.counts }
  const known = state.jobs[job.id]
  if (known) counts[known.status] = Math.max(0, counts[known.status] - 1)
  if (known || !isBeyondPage(state, job.id)) counts[job.status] += 1 // the old status of a job beyond is unknown until the next snapshot
  return {
    ...state,
    seq: Math.max(state.seq, seq),
    counts,
    jobs: { ...state.jobs, [job.id]: job },
    seen: { ...state.seen, [job.id]: seq },
  }
}

/** Whether a job is older than all that were fetched. */
const isBeyondPage = (state: State, id: string): boolean =>
  state.next !== null && Object.keys(state.jobs).every((known) => id < known)

function deleteJob(state: State, seq: number, id: string): State {
  if (seq <= (state.seen[id] ?? -1)) return state
  const { [id]: job, ...jobs } = state.jobs
  const { [id]: _text, ...texts } = state.texts
  const { [id]: _lines, ...deletedLines } = state.deletedLines
  const { [id]: _speakers, ...speakers } = state.speakers
  const { [id]: _marks, ...marks } = state.marks
  const { [id]: _away, ...goneMarks } = state.goneMarks
  const counts = job ? { ...state.counts, [job.status]: Math.max(0, state.counts[job.status] - 1) } : state.counts
  const seen = { ...state.seen, [id]: seq }
  return {
    ...state,
    seq: Math.max(state.seq, seq),
    jobs,
    texts,
    deletedLines,
    speakers,
    marks,
    goneMarks,
    counts,
    seen,
  }
}

function updateModel(state: State, seq: number, model: Model): State {
  const newest = Math.max(state.seq, seq)
  if (!state.models) return { ...state, seq: newest }
  if (state.models.some(({ name }) => name === model.name)) {
    const models = state.models.map((other) => (other.name === model.name ? model : other))
    return { ...state, seq: newest, models }
  }
  // At its place in the order of the service: a row that moved later would close its menu.
  const before = state.models.filter(({ name, good_for }) => good_for || name < model.name)
  const behind = state.models.filter((other) => !before.includes(other))
  return { ...state, seq: newest, models: [...before, model, ...behind] }
}

/** The text of a job that no page shows is not kept: it is fetched as a whole when a page needs it. */
function addSegment(state: State, seq: number, id: string, segment: Segment): State {
  const known = state.texts[id]
  const texts = known ? { ...state.texts, [id]: mergeSegments(known, [segment]) } : state.texts
  return { ...state, seq: Math.max(state.seq, seq), lastText: { ...state.lastText, [id]: segment.text.trim() }, texts }
}

/** Put lines into the text of a job, and take those out that are deleted. */
function changeText(state: State, id: string, edits: number, lines: Segment[], deleted: string[]): State {
  const gone = new Set(deleted)
  const text = mergeSegments(state.texts[id] ?? [], lines).filter((line) => !gone.has(lineId(line)))
  return {
    ...state,
    texts: { ...state.texts, [id]: text },
    deletedLines: { ...state.deletedLines, [id]: [...gone] },
    edits: { ...state.edits, [id]: Math.max(edits, state.edits[id] ?? 0) },
  }
}

function setSpeakers(state: State, id: string, speakers: readonly Speaker[]): State {
  const known = state.speakers[id] ?? { timeline: [], can_recount: false, why_not: null, changes: 0 }
  const now = { ...known, speakers, changes: known.changes + 1 }
  return { ...state, speakers: { ...state.speakers, [id]: now } }
}

function applyEdit(state: State, seq: number, edit: EditResult): State {
  const { job_id: id, number, lines, gone, speakers } = edit
  const newest = { ...state, seq: Math.max(state.seq, seq) }
  if (!state.texts[id] || number <= (state.edits[id] ?? 0)) return newest
  const back = new Set(lines.map(lineId))
  const deleted = [...(state.deletedLines[id] ?? []), ...gone].filter((line) => !back.has(line))
  const text = changeMarks(changeText(newest, id, number, lines, deleted), edit)
  return speakers ? setSpeakers(text, id, speakers) : text
}

/** Marks with newer ones on top, without those that were taken away since. */
function withMarks(state: State, id: string, marks: readonly Mark[], newer: readonly Mark[]): Mark[] {
  const gone = new Set(state.goneMarks[id])
  const byId = new Map([...marks, ...newer].map((mark) => [mark.id, mark]))
  return [...byId.values()].filter((mark) => !gone.has(mark.id)).sort((a, b) => a.at - b.at)
}

function changeMarks(state: State, { job_id: id, marks = [], marks_gone: gone = [] }: EditResult): State {
  if (!marks.length && !gone.length) return state
  const back = new Set(marks.map((mark) => mark.id))
  const away = [...(state.goneMarks[id] ?? []), ...gone].filter((mark) => !back.has(mark))
  const now = { ...state, goneMarks: { ...state.goneMarks, [id]: away } }
  return { ...now, marks: { ...state.marks, [id]: withMarks(now, id, state.marks[id] ?? [], marks) } }
}

const pageBuild = (before: State['ui'], now: string | null): State['ui'] =>
  now === null ? before : { first: before?.first ?? now, now }

function applySnapshot(state: State, { seq, boot, ui_version, jobs: page, system }: Snapshot): State {
  const sameBoot = boot === state.boot
  if (sameBoot && seq < state.seq) return state.loaded ? { ...state, stale: false } : state // a late answer: newer changes were applied
  const oldest = page.next === null ? '' : page.jobs.reduce((low, job) => (job.id < low ? job.id : low), '\uffff')
  const jobs: Record<string, Job> = {}
  for (const job of Object.values(state.jobs)) if (job.id < oldest) jobs[job.id] = job // beyond this page
  const seen: Record<string, number> = sameBoot ? { ...state.seen } : {}
  for (const job of page.jobs) {
    jobs[job.id] = job
    seen[job.id] = Math.max(seq, sameBoot ? (seen[job.id] ?? 0) : 0)
  }
  const next = oldest !== '' && Object.keys(jobs).length > page.jobs.length ? state.next : page.next
  return {
    ...state,
    loaded: true,
    stale: false,
    seq,
    boot,
    jobs,
    seen,
    next,
    system,
    ui: pageBuild(state.ui, ui_version),
    counts: { ...NO_COUNTS, ...system.jobs },
  }
}

function addOlder(state: State, page: Older): State {
  const jobs = { ...state.jobs }
  for (const job of page.jobs) if (!(job.id in state.seen)) jobs[job.id] = job
  return { ...state, jobs, next: page.next }
}

const compareSegments = (a: Segment, b: Segment) =>
  a.chunk - b.chunk || (a.position ?? a.index) - (b.position ?? b.index) || a.index - b.index

/** Merge two lists in order. Of two lines at one place, the one with the higher version counts, else the newer. */
export function mergeSegments(known: Segment[], newer: Segment[]): Segment[] {
  const last = known.at(-1)
  const [first] = newer
  const isNext = first && !first.version && newer.length === 1 && last && compareSegments(last, first) < 0
  if (last === undefined || isNext) return [...known, ...newer]
  const byPlace = new Map(known.map((segment) => [`${segment.chunk}.${segment.index}`, segment]))
  for (const segment of newer) {
    const place = `${segment.chunk}.${segment.index}`
    const old = byPlace.get(place)
    if ((old?.version ?? 0) > (segment.version ?? 0)) continue // of an answer that was late
    if (old?.version !== segment.version || JSON.stringify(old) !== JSON.stringify(segment)) byPlace.set(place, segment) // an equal one is not drawn again
  }
  return [...byPlace.values()].sort(compareSegments)
}

/** The newest first: ids sort by the time when they were made. */
export function newestFirst(state: State): Job[] {
  return Object.values(state.jobs).sort((a, b) => (a.id < b.id ? 1 : -1))
}
