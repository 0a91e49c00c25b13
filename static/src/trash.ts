// Deleting, with a way back: the service keeps what was deleted for a while.
import { ask } from './api.ts'
import { t } from './i18n/index.ts'
import { explain } from './i18n/problems.ts'
import { notify } from './notices.ts'
import type { Job, Problem } from './types.ts'

/** Deletes these; why one was not, if any was not. */
export async function remove(jobs: readonly Job[]): Promise<Problem | null> {
  const gone: Job[] = []
  let refused: Problem | null = null
  for (const job of jobs) {
    const answer = await ask('DELETE', `/api/jobs/${job.id}`)
    if (answer.ok) gone.push(job)
    else refused = answer.problem
  }
  const words = gone.length === 1 ? t('deleted', { name: gone[0]!.name }) : t('deleted_many', { n: gone.length })
  if (gone.length) notify(words, t('undo'), () => void restore(gone))
  return refused
}

async function restore(jobs: readonly Job[]): Promise<void> {
  for (const job of jobs) {
    const answer = await ask('POST', `/api/jobs/${job.id}/restore`)
    if (!answer.ok) notify(`${job.name}: ${explain(answer.problem).what}`) // it went for good meanwhile, or at once
  }
}
