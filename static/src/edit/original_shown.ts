// What the model wrote, shown to a person: the whole text instead of the lines, or that of one line, to be used again.
import { t } from '../i18n/index.ts'
import { lineId } from '../transcript_text.ts'
import type { Segment } from '../types.ts'
import type { Stretch } from './highlights.ts'
import { writeLines } from './line_acts.ts'
import { differences, fetchOriginal, originalOf } from './original.ts'
import type { Reading } from './reading.ts'

export interface Original {
  lines: Segment[]
  /** The stretches of it that read otherwise now. */
  changed(now: readonly Segment[]): readonly Stretch[]
}
/** What the model wrote, to be shown. Null: the service does not answer. */
export async function openOriginal(id: string): Promise<Original | null> {
  const lines = await fetchOriginal(id)
  return lines && { lines, changed: (now) => differences(lines, now) }
}

/** Show what the model wrote where a line is now, and use it if the person wants that. */
export async function askOriginal({ id, lines, session, ask }: Reading, line: string): Promise<void> {
  const original = await fetchOriginal(id)
  const now = lines.value.find((one) => lineId(one) === line)
  if (!original || !now) return
  const said = originalOf(now, original)
  const answers = said && said !== now.text.trim() ? ([['use', t('use_original')]] as const) : []
  const answer = await ask({ title: t('original_text'), text: said || t('original_none'), answers })
  if (answer === 'use') writeLines(session, line, [said], { id: line, offset: 0 })
}
