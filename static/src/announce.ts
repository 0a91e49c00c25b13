// What a screen reader announces: a change of status once and politely, a percentage never.
import { ref } from 'vue'
import { t } from './i18n/index.ts'
import { statusOf } from './jobs.ts'
import { titleOf } from './media.ts'
import type { Job } from './types.ts'

export const announcement = ref('')

const COLLECT_MS = 600
const MOST_BY_NAME = 3
let changed = new Map<string, Job>()

export function announce(before: Job | undefined, now: Job): void {
  if (before?.status === now.status) return
  if (changed.size === 0) setTimeout(flush, COLLECT_MS)
  changed.set(now.id, now)
}

function flush(): void {
  const jobs = [...changed.values()]
  changed = new Map()
  announcement.value =
    jobs.length > MOST_BY_NAME
      ? t('announce_many', { n: jobs.length })
      : jobs
          .map((job) => `${titleOf(job.name)}: ${t(statusOf(job) === 'no_speech' ? 'no_speech' : job.status)}`)
          .join('. ')
}
