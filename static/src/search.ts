// A search in names and texts is the service's; what is found is shown as it is now.
import { computed, ref, watch } from 'vue'
import { ask } from './api.ts'
import { tally, type Filter } from './jobs.ts'
import { state } from './store.ts'
import type { Found, Job, Page, Problem } from './types.ts'

const PAUSE_MS = 250 // after a key, before anybody is asked

export function useSearch() {
  const query = ref('')
  const answer = ref<Page | null>(null)
  const refused = ref<Problem | null>(null)
  let timer: ReturnType<typeof setTimeout> | undefined

  async function search(): Promise<void> {
    const wanted = query.value.trim()
    const said = await ask<Page>('GET', `/api/jobs?limit=100&q=${encodeURIComponent(wanted)}`)
    if (wanted !== query.value.trim()) return // somebody typed on
    answer.value = said.ok ? said.value : null
    refused.value = said.ok ? null : said.problem
  }
  watch(query, (now) => {
    clearTimeout(timer)
    refused.value = null
    if (now.trim() === '') answer.value = null
    else timer = setTimeout(() => void search(), PAUSE_MS)
  })
  const jobs = computed<Job[] | null>(() => answer.value?.jobs.flatMap((job) => {
    const known = state.value.jobs[job.id]
    return known ? [known] : job.id in state.value.seen ? [] : [job] // seen and not known: deleted meanwhile
  }) ?? null)
  const sums = computed<Record<Filter, number> | null>(() => (answer.value?.counts ? tally(answer.value.counts) : null))
  const found = (id: string): Found | undefined => answer.value?.found?.[id]
  return { query, jobs, sums, found, refused }
}
