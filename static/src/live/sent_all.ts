// What a person is told when a recording is complete at the service.
import { t } from '../i18n/index.ts'
import { rec } from '../i18n/recording.ts'
import { notify } from '../notices.ts'
import { navigate, route, transcriptUrl } from '../router.ts'
import { clockTime } from './times.ts'

/** Show the transcript, or offer it where another page is read. */
export function sentAll(job: string, begun: number): void {
  if (route.value.page === 'record') void navigate(transcriptUrl(job))
  else notify(rec('finished', { at: clockTime(begun) }), t('open_it'), () => void navigate(transcriptUrl(job)))
}
