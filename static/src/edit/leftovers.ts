// Sends what tabs that are gone have left, wherever the page is opened. On the page of such a transcript its own session does.
import { request } from '../api.ts'
import { t } from '../i18n/index.ts'
import { titleOf } from '../media.ts'
import { notify } from '../notices.ts'
import { navigate, route, transcriptUrl } from '../router.ts'
import { fetchTranscript, state } from '../store.ts'
import type { Job } from '../types.ts'
import { abandoned } from './recovery.ts'

const gone = new Set<string>() // transcripts that the service does not have: their changes wait for their page
let looking = false

/** Send them now. */
export async function sendLeftovers(): Promise<void> {
  if (looking) return
  looking = true
  try {
    for (const job of await abandoned()) {
      const isShown = route.value.page === 'transcript' && route.value.id === job
      if (!isShown && !gone.has(job)) await send(job)
    }
  } finally {
    looking = false
  }
}
async function send(id: string): Promise<void> {
  const answer = await request<Job>('GET', `/api/jobs/${id}`)
  if (!answer.ok && answer.problem.code === 'not_found') gone.add(id)
  if (!answer.ok || !(await fetchTranscript(id))) return // the next look may find the service again
  const { restore } = await import('./session.ts')
  const n = await restore(id)
  const name = titleOf((state.value.jobs[id] ?? answer.value).name)
  if (n) notify(t('recovered_in', { n, name }), t('open_it'), () => void navigate(transcriptUrl(id)))
}
