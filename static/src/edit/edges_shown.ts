// What has edges that can be moved: the lines of a transcript, or its subtitles while the text is shown as those.
import { computed, ref, type ComputedRef, type WritableComputedRef } from 'vue'
import { t } from '../i18n/index.ts'
import { lineId } from '../transcript_text.ts'
import type { Stretch } from './edges.ts'
import type { Reading } from './reading.ts'

export interface Shown extends Stretch {
  text: string
  lines: string[] // IDs of the lines that it is of
  fixed: boolean // its times cannot be set
}
export interface Timed {
  /** In order of their starts. */
  stretches: ComputedRef<Shown[]>
  /** The one in hand, by its ID, or ''. */
  chosen: WritableComputedRef<string>
  /** Another one plays, so it is the one in hand, unless somebody chose a subtitle. */
  plays(id: string): void
  /** What stays free between two of them, in seconds. */
  gap: ComputedRef<number>
  /** How the one at a place is called: `Line 41`. */
  nameOf(index: number): string
  /** One edit. The ID of the stretch then; null: it cannot be done. */
  setTimes(id: string, start: number, end: number): string | null
}

export function useTimed({ lines, session, cues }: Reading): Timed {
  const own = ref('')
  const ofLines = computed<Shown[]>(() =>
    lines.value.map((line) => {
      const id = lineId(line)
      return { id, start: line.start, end: line.end, text: line.text.trim(), lines: [id], fixed: false }
    }),
  )
  const ofCues = computed<Shown[]>(
    () =>
      cues.value?.cues.value.map((cue) => {
        const { key, start, end, text, gap } = cue
        return { id: key, start, end, text, lines: cue.lines, fixed: gap }
      }) ?? [],
  )
  function setTimes(id: string, start: number, end: number): string | null {
    if (cues.value) {
      const cue = cues.value.cues.value.find(({ key }) => key === id)
      return cue ? cues.value.setTimes(cue, start, end) : null
    }
    const version = lines.value.find((line) => lineId(line) === id)?.version ?? 0
    return session.perform([{ op: 'time', id, v: version, start, end }]) ? id : null
  }
  return {
    stretches: computed(() => (cues.value ? ofCues.value : ofLines.value)),
    chosen: computed({
      get: () => cues.value?.chosen.value || own.value,
      set(id) {
        own.value = id
        if (cues.value) cues.value.chosen.value = id
      },
    }),
    plays(id) {
      own.value = id
    },
    gap: computed(() => cues.value?.gap.value ?? 0),
    nameOf: (index) => t(cues.value ? 'subtitle_n' : 'line_n', { n: index + 1 }),
    setTimes,
  }
}
