// The subtitles of a transcript as its SRT file has them: what the views of subtitles share. The service makes them; what
// it does not have yet is laid on top.
import { computed, ref, shallowRef, watch, type ComputedRef, type Ref } from 'vue'
import { request } from '../api.ts'
import { exportLayout } from '../preferences.ts'
import { state } from '../store.ts'
import { lineId } from '../transcript_text.ts'
import type { CueList } from '../types.ts'
import type { Cue } from './cue.ts'
import { cueOfTyped, overlaid, toFetched, type Fetched } from './cues_overlaid.ts'
import { retimed } from './cue_times.ts'
import type { Session } from './session.ts'

/** The subtitles of one transcript, kept up to date while somebody watches them. */
export interface Cues {
  /** In order of their starts, with the changes on top that the service does not have yet. */
  cues: ComputedRef<Cue[]>
  /** Those of them whose text is being typed right now, as they are with the newest key, by their keys. */
  typed: ComputedRef<ReadonlyMap<string, Cue>>
  /** Seconds between two subtitles. */
  gap: ComputedRef<number>
  /** The key of the subtitle that a person works on, or ''. */
  chosen: Ref<string>
  /** Whether they have come. */
  loaded: ComputedRef<boolean>
  /** Fetch them, and again after each edit, until the function that this gives is called. */
  watch(): () => void
  /**
   * Give a subtitle other times, in seconds: one edit, which can be undone. It becomes a line of its own first. Its key then.
   * Null: it cannot be done.
   */
  setTimes(cue: Cue, start: number, end: number): string | null
}

const WAIT_MS = 300 // after an edit, for the next one
const RETRY_MS = 3_000
const opened = new Map<string, Cues>()

/** The subtitles of a transcript. There is one object for each in a tab. */
export function openCues(job: string, session: Session): Cues {
  const known = opened.get(job)
  if (known) return known
  const cues = start(job, session)
  opened.set(job, cues)
  return cues
}

function start(job: string, session: Session): Cues {
  const fetched = shallowRef<Fetched | null>(null)
  const chosen = ref('')
  let watchers = 0
  let stop = () => {}
  let timer: ReturnType<typeof setTimeout> | undefined
  let number = 0 // of the newest request
  let tookMs = 0

  async function fetchCues(): Promise<void> {
    const mine = (number += 1)
    const began = performance.now()
    const query = new URLSearchParams(Object.entries(options.value).map(([name, value]) => [name, String(value)]))
    const answer = await request<CueList>('GET', `/api/jobs/${job}/cues?${query}`)
    if (mine !== number || !watchers) return
    tookMs = performance.now() - began
    if (answer.ok) fetched.value = toFetched(answer.value, state.value.texts[job] ?? [], cues.value)
    else if (answer.problem.code !== 'not_found') soon(RETRY_MS) // the page tells elsewhere that nothing answers
  }
  /** Fetch after a moment. For a long recording the service works for seconds: then less often. */
  function soon(waitMs = Math.max(WAIT_MS, 2 * tookMs)): void {
    clearTimeout(timer)
    timer = setTimeout(() => void fetchCues(), waitMs)
  }
  const options = computed(() => {
    const { line_columns, cjk_line_columns, lines, script, speakers } = exportLayout('srt')
    const chosen = { line_columns, cjk_line_columns, lines, script, speakers }
    return Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined))
  })

  const cues = computed<Cue[]>((before) => {
    // An input method writes into an element that must stay where it is.
    if (before && session.composing.value) return before
    return fetched.value ? overlaid(fetched.value, session.lines.value, before ?? []) : []
  })
  const ofLine = computed(() => {
    const found = new Map<string, Cue[]>()
    for (const cue of cues.value)
      for (const line of cue.lines) {
        const some = found.get(line)
        if (some) some.push(cue)
        else found.set(line, [cue])
      }
    return found
  })
  const textOf = (id: string) => session.lines.value.find((line) => lineId(line) === id)?.text.trim()
  const typed = computed(() => {
    const now = session.typing.value
    const before = now ? textOf(now.id) : undefined
    if (!now || before === undefined || !fetched.value) return new Map<string, Cue>()
    const { style } = fetched.value
    const some = ofLine.value.get(now.id) ?? []
    return new Map(some.map((cue) => [cue.key, cueOfTyped(cue, some, now.id, before, now.text, style)]))
  })

  return {
    cues,
    typed,
    gap: computed(() => fetched.value?.style.gap_s ?? 0),
    chosen,
    loaded: computed(() => fetched.value !== null),
    watch() {
      watchers += 1
      if (watchers === 1) {
        void fetchCues()
        stop = watch(
          [
            () => state.value.edits[job],
            () => state.value.jobs[job]?.status,
            () => state.value.texts[job]?.length, // more was recognised
            () => JSON.stringify(options.value),
          ],
          () => soon(),
        )
      }
      let watched = true
      return () => {
        if (!watched) return
        watched = false
        watchers -= 1
        if (watchers) return
        stop()
        clearTimeout(timer)
        opened.delete(job)
      }
    },
    setTimes(cue, from, to) {
      session.flush()
      const now = cues.value.find(({ key }) => key === cue.key)
      const done = now && !now.gap ? retimed(now, session.lines.value, from, to) : null
      if (!done) return null
      const place = { id: done.line, offset: 0 }
      if (!session.perform(done.operations, { id: now!.lines[0]!, offset: 0 }, place)) return null
      if (chosen.value === cue.key) chosen.value = done.line
      return done.line
    },
  }
}
