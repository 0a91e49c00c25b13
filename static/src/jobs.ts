// Facts about jobs that the list shows: places in the queue, the time left, filters, allowed actions. Pure.
import type { Counts } from './reducer.ts'
import type { Job, Model, Phase, Status } from './types.ts'

export const FILTERS = ['all', 'active', 'done', 'undone'] as const
export type Filter = (typeof FILTERS)[number]

const FILTER_OF: Record<Status, Filter> = {
  pending: 'active',
  processing: 'active',
  paused: 'active',
  completed: 'done',
  failed: 'undone',
  cancelled: 'undone',
}

/** Errors of the recording itself: a retry gives the same error. */
const HOPELESS_CODES = ['not_media', 'no_audio', 'empty_file']

/** Whether only another recording can help. */
export const isHopeless = (job: Job): boolean =>
  job.status === 'failed' && HOPELESS_CODES.includes(job.error?.code ?? '')

/** Whether a recording was transcribed and no one speaks in it. */
export const isSilent = (job: Job): boolean => job.no_speech

/** Whether the recording of a job in work still grows. Its length is not known before it ends. */
export const isListening = (job: Job): boolean => job.status === 'processing' && job.live != null && !job.live.ended

/** What the status of a job is called: a key of the messages. */
export const statusOf = (job: Job): Status | Phase | 'fetching' | 'listening' | 'no_speech' =>
  awaitsFetch(job)
    ? 'fetching'
    : isSilent(job)
      ? 'no_speech'
      : isListening(job) && job.phase === 'transcribing'
        ? 'listening'
        : job.status === 'processing' && job.phase
          ? job.phase
          : job.status

const FACTOR_LEAST_S = 60 // shorter recordings mostly wait, for other recordings in their batch and for the model

/** Seconds of recording per second of work. Null: unknown, because the recording is short or shared the device with others. */
export function speedOf(job: Job, jobs: readonly Job[]): number | null {
  const { duration_s, started_at, finished_at } = job
  if (job.status !== 'completed' || !duration_s || duration_s <= FACTOR_LEAST_S || !started_at || !finished_at)
    return null
  const shared = jobs.some(
    (other) =>
      other.id !== job.id &&
      other.started_at !== null &&
      other.started_at < finished_at &&
      (other.finished_at ?? Infinity) > started_at,
  )
  return shared || finished_at <= started_at ? null : duration_s / (finished_at - started_at)
}

/** What a report about a failed job has: no text of the recording. */
export function reportOf(job: Job, service: string | undefined): string {
  const { id, name, status, phase, model, options, bytes, duration_s, position_s, attempts, gaps, error, history } = job
  const facts = {
    id,
    name,
    status,
    phase,
    model,
    options,
    bytes,
    duration_s,
    position_s,
    attempts,
    gaps,
    error,
    history,
  }
  return JSON.stringify({ service, ...facts }, null, 2)
}

export const FORMATS = ['srt', 'vtt', 'txt', 'docx', 'md', 'json', 'tsv', 'lrc', 'ass'] as const

export type Format = (typeof FORMATS)[number]
export type ExportOption =
  | 'columns'
  | 'lines'
  | 'script'
  | 'times'
  | 'word_times'
  | 'bom'
  | 'speakers'
  | 'notes'
  | 'unchecked'
  | 'compare'

const CAPTIONS = ['columns', 'lines', 'script', 'bom'] as const
const NAMED = [...CAPTIONS, 'speakers'] as const
/** The options that change a format. The service ignores the others. */
export const EXPORT_OPTIONS: Record<Format, readonly ExportOption[]> = {
  srt: NAMED,
  vtt: [...NAMED, 'word_times'],
  txt: ['speakers', 'unchecked', 'script', 'bom'],
  docx: ['speakers', 'notes', 'unchecked', 'compare', 'script', 'times'],
  md: ['times', 'speakers', 'notes', 'unchecked', 'script', 'bom'],
  json: ['speakers', 'script'],
  tsv: ['speakers', 'script', 'bom'],
  lrc: CAPTIONS,
  ass: NAMED,
}

/** Actions that can be done to many jobs at once. */
export const BULK_ACTIONS = ['front', 'pause', 'resume', 'retry', 'cancel'] as const
export type JobAction = (typeof BULK_ACTIONS)[number] | 'sooner' | 'later'

const ACTIONS: Record<Status, readonly JobAction[]> = {
  pending: ['front', 'sooner', 'later', 'pause', 'cancel'],
  processing: ['front', 'pause', 'cancel'],
  paused: ['resume', 'cancel'],
  completed: [],
  failed: ['retry'],
  cancelled: ['retry'],
}

/** The actions that are possible now. A completed job is retried for its gaps only. */
export function actionsOf(job: Job): readonly JobAction[] {
  const actions = actionsWithMedia(job)
  return job.media_removed || isHopeless(job) ? actions.filter((action) => action !== 'retry') : actions
}

/** Whether a retry would help but the recording is no longer kept. */
export const lacksMedia = (job: Job): boolean => job.media_removed === true && actionsWithMedia(job).includes('retry')

function actionsWithMedia(job: Job): readonly JobAction[] {
  return job.status === 'completed' && (job.gaps.length || lacksSpeakers(job)) ? ['retry'] : ACTIONS[job.status]
}

/** Whether the job ended without the speakers that were asked for. A retry finds them alone. */
const lacksSpeakers = (job: Job): boolean => !!job.history?.some(({ code }) => code === 'speakers_unavailable')

/** Whether the service has yet to fetch the recording from its link. */
export const awaitsFetch = (job: Job): boolean => job.status === 'pending' && job.origin != null && !job.sha256

const MEMORY_CODES = ['oom', 'model_too_big']

/** The next smaller model for a job that failed for lack of memory. Installed models come before those to download. */
export function smallerModel(job: Job, models: readonly Model[]): string | null {
  const needed = models.find(({ name }) => name === (job.model ?? job.options.model))?.memory_bytes
  if (job.status !== 'failed' || !MEMORY_CODES.includes(job.error?.code ?? '') || !needed || job.media_removed)
    return null
  const smaller = models
    .filter(
      ({ kind, memory_bytes, suits }) =>
        kind !== 'speakers' && memory_bytes !== null && memory_bytes < needed && suits?.fit !== 'too_big',
    )
    .sort((a, b) => b.memory_bytes! - a.memory_bytes!)
  return (smaller.find(({ state }) => state === 'installed' || state === 'loaded') ?? smaller[0])?.name ?? null
}

export const matchesFilter = (job: Job, filter: Filter): boolean => filter === 'all' || FILTER_OF[job.status] === filter

/** How many jobs each filter shows. */
export function countByFilter(counts: Partial<Counts>): Record<Filter, number> {
  const sums: Record<Filter, number> = { all: 0, active: 0, done: 0, undone: 0 }
  for (const [status, count] of Object.entries(counts) as [Status, number][]) {
    sums[FILTER_OF[status]] += count
    sums.all += count
  }
  return sums
}

/** The jobs that are open, those in work, the seconds of recording that are left, the seconds until the end (null: unknown) and the progress from 0 to 1. */
export interface Queue {
  jobs: number
  working: number
  audio_s: number
  left_s: number | null
  progress: number
}

export function summarizeQueue(jobs: readonly Job[]): Queue {
  const open = jobs.filter(({ status }) => status === 'pending' || status === 'processing')
  const audio_s = open.reduce((sum, job) => sum + Math.max(0, (job.duration_s ?? 0) - job.position_s), 0)
  const known = open.flatMap((job) => (job.eta_s === null ? [] : [job.eta_s]))
  return {
    jobs: open.length,
    working: open.filter(({ status }) => status === 'processing').length,
    audio_s,
    left_s: known.length ? known.reduce((sum, eta) => sum + eta, 0) : null,
    progress: open.length ? open.reduce((sum, job) => sum + job.progress, 0) / open.length : 1,
  }
}

const comesBefore = (a: Job, b: Job): boolean => a.rank < b.rank || (a.rank === b.rank && a.id < b.id)

/** The place among the waiting jobs, from 1 on: by rank, then by age. */
export function queuePlace(job: Job, jobs: readonly Job[]): number {
  return 1 + jobs.filter((other) => other.status === 'pending' && comesBefore(other, job)).length
}

/** The id of the job that was moved to the front and is still in the queue. */
export function frontJob(open: readonly Job[]): string | null {
  const first = open.reduce<Job | null>((low, job) => (low === null || job.rank < low.rank ? job : low), null)
  return first && first.rank < 0 ? first.id : null
}

/** Sort the waiting jobs by their turns. The other jobs stay where they are. */
export function sortWaiting(jobs: readonly Job[]): Job[] {
  const waiting = jobs.filter(({ status }) => status === 'pending').sort((a, b) => (comesBefore(a, b) ? -1 : 1))
  return jobs.map((job) => (job.status === 'pending' ? waiting.shift()! : job))
}

/** The ids from one row to another in the order shown, both included: what a click with Shift selects. */
export function idRange(ids: readonly string[], from: string, to: string): string[] {
  const [a, b] = [ids.indexOf(from), ids.indexOf(to)].sort((x, y) => x - y) as [number, number]
  return a < 0 ? [to] : ids.slice(a, b + 1)
}

/** Seconds of a recording. */
export interface Part {
  begin: number
  end: number
}

/** The part of its recording that a job is about. Null: all of it. */
export function partOfJob({ options: { begin_s, end_s }, duration_s }: Job): Part | null {
  return begin_s === null && end_s === null ? null : { begin: begin_s ?? 0, end: end_s ?? duration_s ?? Infinity }
}
