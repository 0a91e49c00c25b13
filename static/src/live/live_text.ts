// The lines of a session while they come.
import { computed, onScopeDispose, watch, type ComputedRef } from 'vue'
import { fetchTranscript, listen, state } from '../store.ts'
import type { Segment } from '../types.ts'

/** The lines of a job so far. `missing` is called if there is no such job. */
export function useLiveText(job: () => string | null, missing?: (is: boolean) => void): ComputedRef<Segment[]> {
  async function fetch(): Promise<void> {
    const id = job()
    if (id === null) return
    const found = await fetchTranscript(id)
    if (id === job()) missing?.(!found && state.value.connection !== 'offline')
  }
  watch(job, fetch, { immediate: true })
  const ends = listen(({ type }) => {
    if (type === 'snapshot' && missing && state.value.connection === 'polling') void fetch() // the job may be there now
  })
  onScopeDispose(ends)
  return computed(() => {
    const id = job()
    return id === null ? [] : (state.value.texts[id] ?? [])
  })
}
