// A quote of a transcript: the words, who says them where, and a link that opens there.
import { copyText } from '../clipboard.ts'
import { clock } from '../i18n/format.ts'
import { titleOf } from '../media.ts'
import { transcriptUrl } from '../router.ts'
import { lineId, wordAt } from '../transcript_text.ts'
import type { Job, Segment } from '../types.ts'
import { shownAt, type Anchor } from './mark_places.ts'
import type { Marked } from './marking.ts'

/** When the word at a place of a line begins, in seconds. */
export function timeAt(line: Segment, at: number): number {
  return wordAt(line, shownAt(line, at))?.start ?? line.start
}

export function quote(words: string, name: string, title: string, seconds: number, link: string): string {
  const who = [name, title, clock(seconds)].filter(Boolean).join(', ')
  return `“${words}”\n— ${who}\n${link}`
}

export async function copyQuote(
  { id, job, lines }: Marked & { job: { value: Job | undefined } },
  words: string,
  { line, at }: Anchor,
  name = '',
): Promise<void> {
  const found = lines.value.find((one) => lineId(one) === line)
  const seconds = found ? timeAt(found, at) : 0
  const link = new URL(transcriptUrl(id, seconds), location.href).href
  await copyText(quote(words, name, titleOf(job.value?.name ?? ''), seconds, link))
}
