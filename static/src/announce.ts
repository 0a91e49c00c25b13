// What a screen reader is told: a change of status once and politely, a percentage never.
import { ref } from 'vue'
import { t } from './i18n/index.ts'
import type { Job } from './types.ts'

export const announcement = ref('')

const GATHER_MS = 600
const AT_ONCE = 3
let gathered = new Map<string, Job>()

export function announce(before: Job | undefined, now: Job): void {
  if (before?.status === now.status) return
  if (gathered.size === 0) setTimeout(speak, GATHER_MS)
  gathered.set(now.id, now)
}

function speak(): void {
  const jobs = [...gathered.values()]
  gathered = new Map()
  announcement.value = jobs.length > AT_ONCE
    ? t('announce_many', { n: jobs.length })
    : jobs.map((job) => `${job.name}: ${t(job.status)}`).join('. ')
}
