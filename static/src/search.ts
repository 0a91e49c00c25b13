// The search in names and texts. The service searches; jobs are shown as they are now.
import { computed, ref, watch } from 'vue'
import { request } from './api.ts'
import { countByFilter, type Filter } from './jobs.ts'
import { state } from './store.ts'
import type { Found, Job, JobList, Problem } from './types.ts'

const PAUSE_MS = 250 // after a key, before the service is asked

export function useSearch() {
  const query = ref('')
  const result = ref<JobList | null>(null)
  const problem = ref<Problem | null>(null)
  let timer: ReturnType<typeof setTimeout> | undefined

  async function search(): Promise<void> {
    const wanted = query.value.trim()
    const answer = await request<JobList>('GET', `/api/jobs?limit=100&q=${encodeURIComponent(wanted)}`)
    if (wanted !== query.value.trim()) return // the user typed on
    result.value = answer.ok ? answer.value : null
    problem.value = answer.ok ? null : answer.problem
  }
  watch(query, (now) => {
    clearTimeout(timer)
    problem.value = null
    if (now.trim() === '') result.value = null
    else timer = setTimeout(() => void search(), PAUSE_MS)
  })
  const jobs = computed<Job[] | null>(
    () =>
      result.value?.jobs.flatMap((job) => {
        const known = state.value.jobs[job.id]
        return known ? [known] : job.id in state.value.seen ? [] : [job] // seen but not known: deleted meanwhile
      }) ?? null,
  )
  const counts = computed<Record<Filter, number> | null>(() =>
    result.value?.counts ? countByFilter(result.value.counts) : null,
  )
  const found = (id: string): Found | undefined => result.value?.found?.[id]
  return { query, jobs, counts, found, problem }
}
