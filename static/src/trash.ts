// Deleting jobs: they go into the trash, and the service can restore them for a while.
import { request } from './api.ts'
import { t } from './i18n/index.ts'
import { explain } from './i18n/problems.ts'
import { titleOf } from './media.ts'
import { notify } from './notices.ts'
import type { Job, Problem } from './types.ts'

/** Move jobs into the trash and offer to undo it. Returns the last problem, or null. */
export async function trashJobs(jobs: readonly Job[]): Promise<Problem | null> {
  const trashed: Job[] = []
  let problem: Problem | null = null
  for (const job of jobs) {
    const answer = await request('DELETE', `/api/jobs/${job.id}`)
    if (answer.ok) trashed.push(job)
    else problem = answer.problem
  }
  const text =
    trashed.length === 1 ? t('deleted', { name: titleOf(trashed[0]!.name) }) : t('deleted_many', { n: trashed.length })
  if (trashed.length) notify(text, t('undo'), () => void restoreJobs(trashed))
  return problem
}

async function restoreJobs(jobs: readonly Job[]): Promise<void> {
  for (const job of jobs) {
    const answer = await request('POST', `/api/jobs/${job.id}/restore`)
    if (!answer.ok) notify(`${titleOf(job.name)}: ${explain(answer.problem).what}`) // the trash was emptied meanwhile
  }
}
