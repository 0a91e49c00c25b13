// What has edges that can be moved: the lines of a transcript, or its subtitles. A strip shows either in the same way.
import { computed, ref, type ComputedRef, type Ref } from 'vue'
import { t } from '../i18n/index.ts'
import { lineId } from '../transcript_text.ts'
import type { Cues } from './cues.ts'
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
  chosen: Ref<string>
  /** What stays free between two of them, in seconds. */
  gap: ComputedRef<number>
  /** How the one at a place is called: `line 41`. */
  nameOf(index: number): string
  /** One edit. The ID of the stretch then; null: it cannot be done. */
  setTimes(id: string, start: number, end: number): string | null
}

export function timedLines({ lines, session }: Reading): Timed {
  return {
    stretches: computed(() =>
      lines.value.map((line) => {
        const id = lineId(line)
        return { id, start: line.start, end: line.end, text: line.text.trim(), lines: [id], fixed: false }
      }),
    ),
    chosen: ref(''),
    gap: computed(() => 0),
    nameOf: (index) => t('line_n', { n: index + 1 }),
    setTimes(id, start, end) {
      const version = lines.value.find((line) => lineId(line) === id)?.version ?? 0
      return session.perform([{ op: 'time', id, v: version, start, end }]) ? id : null
    },
  }
}

export function timedCues(cues: Cues): Timed {
  return {
    stretches: computed(() =>
      cues.cues.value.map(({ key, start, end, text, lines, gap }) => ({
        id: key,
        start,
        end,
        text,
        lines,
        fixed: gap,
      })),
    ),
    chosen: cues.chosen,
    gap: cues.gap,
    nameOf: (index) => t('subtitle_n', { n: index + 1 }),
    setTimes(key, start, end) {
      const cue = cues.cues.value.find((one) => one.key === key)
      return cue ? cues.setTimes(cue, start, end) : null
    },
  }
}
