// Paragraphs of a text: lines of one speaker without a pause, until they are long. The service makes the same in files
// (export/documents.py). Each is one block of the page.
import type { Row } from '../transcript_text.ts'

const PAUSE_MS = 2_000 // a silence this long ends a paragraph
const LONG = 600 // a paragraph with so many characters ends at the next end of a line
const WIDE_MARK = /[\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff60]$/

export interface Passage {
  start: number // seconds
  end: number
  text: string
  speaks: boolean // another one speaks than before
  gap: boolean
}

const milliseconds = (seconds: number) => Math.max(0, Math.round(seconds * 1000))
const lengthOf = (text: string) => [...text].length

/** Whether nothing stands between two lines of a paragraph: a wide mark needs no space behind it. */
export const isTight = (before: string): boolean => WIDE_MARK.test(before.trim())

/** The number of the first passage of each paragraph. */
export function beginnings(passages: readonly Passage[]): number[] {
  const found: number[] = []
  let end = 0 // of the paragraph so far, milliseconds
  let length = 0
  passages.forEach((passage, at) => {
    const before = passages[at - 1]
    const text = passage.text.trim()
    const start = milliseconds(passage.start)
    const isNew = !before || before.gap || passage.gap || passage.speaks || start - end >= PAUSE_MS || length >= LONG
    if (isNew) found.push(at)
    const between = isNew || isTight(before.text) ? 0 : 1
    end = Math.max(isNew ? 0 : end, milliseconds(passage.end), start + 1)
    length = (isNew ? 0 : length) + between + lengthOf(text)
  })
  return found
}

const passageOf = ({ line, gap, head }: Row): Passage =>
  line
    ? { start: line.start, end: line.end, text: line.text, speaks: head !== undefined, gap: false }
    : { start: gap!.start, end: gap!.end, text: '', speaks: false, gap: true }

const isSame = (row: Row, old: Row): boolean =>
  row.key === old.key &&
  row.line === old.line &&
  row.gap === old.gap &&
  row.head?.key === old.head?.key &&
  row.tight === old.tight

/** Rows in blocks of one paragraph each. A paragraph in which nothing changed is used again. */
export function toParagraphs(rows: readonly Row[], before: readonly Row[][] = []): Row[][] {
  const known = new Map(before.map((block) => [block[0]!.key, block]))
  const cuts = beginnings(rows.map(passageOf))
  return cuts.map((begin, nth) => {
    const block = rows.slice(begin, cuts[nth + 1]).map((row, at) => {
      const previous = rows[begin + at - 1]?.line
      return at && previous && isTight(previous.text) ? { ...row, tight: true } : row
    })
    const old = known.get(block[0]!.key)
    return old?.length === block.length && block.every((row, at) => isSame(row, old[at]!)) ? old : block
  })
}
