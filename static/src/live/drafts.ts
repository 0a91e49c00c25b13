// Drafts of a live session: what was said behind its last line. Words that stay, and words that the next draft may change.
import { computed, onScopeDispose, shallowRef, watch, type ComputedRef } from 'vue'
import { serviceUrl } from '../api.ts'
import { listen, state } from '../store.ts'
import type { Segment } from '../types.ts'

export interface DraftWord {
  start: number // seconds
  end: number
  word: string // with the space before it, where its language has one
}
/** All that was heard behind the last line. */
export interface Draft {
  stable: readonly DraftWord[]
  tentative: readonly DraftWord[]
}
/** A draft as text, and when it begins in seconds. */
export interface DraftText {
  stable: string
  tentative: string
  start: number
}

const RETRY_MS = 3_000
const OVER = ['completed', 'failed', 'cancelled']

/** Pass the drafts of a session to `show` until the returned function is called. The service computes none that nobody reads. */
export function openDrafts(job: string, show: (draft: Draft | null) => void, Source = EventSource): () => void {
  let source: EventSource | undefined
  let timer: ReturnType<typeof setTimeout> | undefined

  function open(): void {
    close()
    source = new Source(serviceUrl(`/api/live/${job}/drafts`))
    source.addEventListener('draft', (event) => show(JSON.parse((event as MessageEvent<string>).data) as Draft))
    source.addEventListener('end', () => {
      close()
      show(null)
    })
    source.onerror = () => {
      source?.close() // a browser comes back by itself after a cut, but not after a refusal
      clearTimeout(timer)
      timer = setTimeout(open, RETRY_MS)
    }
  }
  function close(): void {
    clearTimeout(timer)
    source?.close()
  }
  open()
  return close
}

/** What of a draft no line has yet: a line may come a moment before the draft that is shortened by it. */
export function textOf(draft: Draft | null, lines: readonly Segment[]): DraftText {
  const settled = lines.at(-1)?.end ?? 0
  const open = (words: readonly DraftWord[] = []) => words.filter(({ start, end }) => (start + end) / 2 >= settled)
  const [stable, tentative] = [open(draft?.stable), open(draft?.tentative)]
  const join = (words: readonly DraftWord[]) => words.map(({ word }) => word).join('')
  return { stable: join(stable), tentative: join(tentative), start: [...stable, ...tentative][0]?.start ?? Infinity }
}

/** The draft of a session while it is in work and this tab is seen. */
export function useDraft(job: () => string | null, lines: () => readonly Segment[]): ComputedRef<DraftText> {
  const draft = shallowRef<Draft | null>(null)
  const seen = shallowRef(!document.hidden)
  const look = () => void (seen.value = !document.hidden)
  const work = computed(() => {
    const id = job()
    const known = id === null ? undefined : state.value.jobs[id]
    return seen.value && known?.live && !OVER.includes(known.status) ? id : null
  })
  let close = (): void => undefined
  function open(id: string | null): void {
    close()
    close = id === null ? () => undefined : openDrafts(id, (now) => void (draft.value = now))
  }
  watch(
    work,
    (id) => {
      draft.value = null
      open(id)
    },
    { immediate: true },
  )
  document.addEventListener('visibilitychange', look)
  const ends = listen((message) => {
    if (message.type === 'hello') open(work.value) // the connection was cut, and that of the drafts may not have noticed
  })
  onScopeDispose(() => {
    close()
    ends()
    document.removeEventListener('visibilitychange', look)
  })
  return computed(() => textOf(draft.value, lines()))
}
