// The versions of a transcript: the first job, and all jobs that transcribed its recording again. Pure.
import { partOfJob } from './jobs.ts'
import type { Job } from './types.ts'

type Jobs = Readonly<Record<string, Job>>

/** The job that a job and its other versions began with. It may be gone: then it is only an ID. */
function firstOf(job: Job, jobs: Jobs): string {
  let now = job
  const seen = new Set([now.id])
  while (now.of && !seen.has(now.of)) {
    seen.add(now.of)
    const before = jobs[now.of]
    if (!before) return now.of
    now = before
  }
  return now.id
}

/** All versions of a transcript, the oldest first. Jobs of a part of the recording are none. */
export function versionsOf(id: string, jobs: Jobs): Job[] {
  const job = jobs[id]
  if (!job || partOfJob(job)) return []
  const first = firstOf(job, jobs)
  return Object.values(jobs)
    .filter((one) => !partOfJob(one) && firstOf(one, jobs) === first)
    .sort((one, other) => (one.id < other.id ? -1 : 1))
}

/** Whether a transcript has other versions, as far as its job tells. They may be older than the jobs that are known. */
export function hasVersions(id: string, jobs: Jobs): boolean {
  const job = jobs[id]
  return job !== undefined && !partOfJob(job) && (job.of != null || versionsOf(id, jobs).length > 1)
}

/** The model and the language of a version, as far as they are known. */
export const factsOf = ({ model, options, language }: Job): string[] =>
  [(model ?? options.model).split(/[\\/]/).at(-1) ?? '', language ?? options.language ?? ''].filter(Boolean)
