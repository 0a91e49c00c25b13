// What a list of jobs amounts to: who is where in the queue, what is left, which of them a filter shows. Pure.
import type { Counts } from './reducer.ts'
import type { Job, Model, Status } from './types.ts'

export const FILTERS = ['all', 'active', 'done', 'undone'] as const
export type Filter = (typeof FILTERS)[number]

const GROUP: Record<Status, Filter> = {
  pending: 'active', processing: 'active', paused: 'active', completed: 'done', failed: 'undone', cancelled: 'undone',
}

export const FORMATS = ['srt', 'vtt', 'txt', 'docx', 'md', 'json', 'tsv', 'lrc', 'ass'] as const

/** What many can be asked at once. */
export const VERBS = ['front', 'pause', 'resume', 'retry', 'cancel'] as const
export type Verb = (typeof VERBS)[number] | 'sooner' | 'later'

const ALLOWED: Record<Status, readonly Verb[]> = {
  pending: ['front', 'sooner', 'later', 'pause', 'cancel'], processing: ['front', 'pause', 'cancel'], paused: ['resume', 'cancel'], completed: [], failed: ['retry'], cancelled: ['retry'],
}

/** What a job can be asked to do. A completed one is retried for its gaps only. */
export function verbs(job: Job): readonly Verb[] {
  const allowed = able(job)
  return job.media_removed ? allowed.filter((verb) => verb !== 'retry') : allowed
}

/** Whether something is missing that cannot be heard again, as the recording is not kept any more. */
export const unhearable = (job: Job): boolean => job.media_removed === true && able(job).includes('retry')

function able(job: Job): readonly Verb[] {
  return job.status === 'completed' && job.gaps.length ? ['retry'] : ALLOWED[job.status]
}

/** Whether the service is still to get the recording, from where it was told to. */
export const coming = (job: Job): boolean => job.status === 'pending' && job.origin != null && !job.sha256

const TOO_MUCH = ['oom', 'model_too_big']

/** The next smaller model for a job that failed for want of memory, one that is here before one that would have to be fetched. */
export function smaller(job: Job, models: readonly Model[]): string | null {
  const needed = models.find(({ name }) => name === (job.model ?? job.options.model))?.memory_bytes
  if (job.status !== 'failed' || !TOO_MUCH.includes(job.error?.code ?? '') || !needed || job.media_removed) return null
  const less = models.filter(({ memory_bytes, suits }) => memory_bytes !== null && memory_bytes < needed && suits?.fit !== 'too_big')
    .sort((a, b) => b.memory_bytes! - a.memory_bytes!)
  return (less.find(({ state }) => state === 'installed' || state === 'loaded') ?? less[0])?.name ?? null
}

export const fits = (job: Job, filter: Filter): boolean => filter === 'all' || GROUP[job.status] === filter

/** How many jobs each filter shows. */
export function tally(counts: Partial<Counts>): Record<Filter, number> {
  const sums: Record<Filter, number> = { all: 0, active: 0, done: 0, undone: 0 }
  for (const [status, count] of Object.entries(counts) as [Status, number][]) {
    sums[GROUP[status]] += count
    sums.all += count
  }
  return sums
}

export interface Queue { jobs: number; audio: number; left: number | null; at: number }

/** Jobs in the queue, seconds of recording they have left, seconds until the last is done (null: not known yet), and how far all are. */
export function queue(jobs: readonly Job[]): Queue {
  const open = jobs.filter(({ status }) => status === 'pending' || status === 'processing')
  const audio = open.reduce((sum, job) => sum + Math.max(0, (job.duration_s ?? 0) - job.position_s), 0)
  const known = open.flatMap((job) => (job.eta_s === null ? [] : [job.eta_s]))
  return {
    jobs: open.length, audio, left: known.length ? known.reduce((sum, eta) => sum + eta, 0) : null,
    at: open.length ? open.reduce((sum, job) => sum + job.progress, 0) / open.length : 1,
  }
}

const before = (a: Job, b: Job): boolean => a.rank < b.rank || (a.rank === b.rank && a.id < b.id)

/** Place among the jobs that wait, from 1 on: by rank, then by age. */
export function place(job: Job, jobs: readonly Job[]): number {
  return 1 + jobs.filter((other) => other.status === 'pending' && before(other, job)).length
}

/** The job that was put before all others and is still in the queue, if any. */
export function foremost(open: readonly Job[]): string | null {
  const first = open.reduce<Job | null>((low, job) => (low === null || job.rank < low.rank ? job : low), null)
  return first && first.rank < 0 ? first.id : null
}

/** The same jobs, those that wait in the order of their turns; the rest stay where they are. */
export function inTurn(jobs: readonly Job[]): Job[] {
  const waiting = jobs.filter(({ status }) => status === 'pending').sort((a, b) => (before(a, b) ? -1 : 1))
  return jobs.map((job) => (job.status === 'pending' ? waiting.shift()! : job))
}

/** The ids from one row to another in the order shown, both included: what a click with Shift selects. */
export function span(ids: readonly string[], from: string, to: string): string[] {
  const [a, b] = [ids.indexOf(from), ids.indexOf(to)].sort((x, y) => x - y) as [number, number]
  return a < 0 ? [to] : ids.slice(a, b + 1)
}
