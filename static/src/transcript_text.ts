// Places in a text: the segment and the word at a time.
import type { Head } from './edit/speakers.ts'
import type { Gap, Segment, Word } from './types.ts'

/** The ID of a line. An event of a segment does not say it. */
export const lineId = ({ id, chunk, index }: Segment): string => id ?? `c${chunk}.${index}`

/** The index of the last item that starts at or before `time`, or -1. */
export function indexAt(items: readonly { start: number }[], time: number): number {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (items[middle]!.start <= time) low = middle + 1
    else high = middle
  }
  return low - 1
}

const AFTER_WORD_S = 0.3 // a word stays marked a little longer than it sounds

/** The characters of the word that is spoken at `time`, within the text of its segment, or null. */
export function wordRange(segment: Segment, time: number): [number, number] | null {
  const text = segment.text.trim()
  const index = indexAt(segment.words, time)
  if (index < 0 || time > segment.words[index]!.end + AFTER_WORD_S) return null
  let from = 0
  for (let i = 0; i <= index; i += 1) {
    const word = segment.words[i]!.word.trim()
    const found = text.indexOf(word, from)
    if (found < 0) return null
    if (i === index) return [found, found + word.length]
    from = found + word.length
  }
  return null
}

/** The word at an offset in the text of its segment (in UTF-16 units, as browsers count), or null. */
export function wordAt(segment: Segment, offset: number): Word | null {
  const text = segment.text.trim()
  let from = 0
  for (const word of segment.words) {
    const found = text.indexOf(word.word.trim(), from)
    if (found < 0) return null
    from = found + word.word.trim().length
    if (offset < from) return word
  }
  return segment.words.at(-1) ?? null
}

export interface Row {
  key: string
  line?: Segment
  fresh?: boolean // the line is new and has no text yet: it is in no list of lines
  gap?: Gap
  head?: Head // who speaks, where that is said
  double?: boolean // a person wrote the line, and later the model recognised something there
  tight?: boolean // nothing stands between it and the line before, in a paragraph
}

/** A line that a person writes. It is not stored before it has a text. */
export interface NewLine {
  id: string
  after: string | null
  start: number
  end: number
}

/** Put the row of a new line behind that of another one, or before all. */
export function withNewLine(rows: Row[], line: NewLine | null): Row[] {
  if (!line || rows.some(({ key }) => key === line.id)) return rows
  const { id, start, end } = line
  const at = line.after === null ? 0 : 1 + rows.findIndex(({ key }) => key === line.after)
  const blank = { id, chunk: -1, index: -1, start, end, text: '', words: [], language: null, speaker: null }
  return rows.toSpliced(at, 0, { key: id, line: blank, fresh: true })
}

/** Lines and gaps in the order of their times. `heads` has an item for each line, or none. */
export function rowsOf(lines: readonly Segment[], gaps: readonly Gap[], heads: readonly (Head | null)[] = []): Row[] {
  const open = [...gaps].sort((a, b) => a.start - b.start)
  const rows: Row[] = []
  const addGaps = (until: number) => {
    for (let gap = open[0]; gap && gap.start < until; gap = open[0]) {
      rows.push({ key: `gap ${gap.start}`, gap })
      open.shift()
    }
  }
  lines.forEach((line, index) => {
    addGaps(line.start)
    const head = heads[index]
    rows.push({ key: lineId(line), line, ...(head && { head }) })
  })
  addGaps(Infinity)
  return rows
}

const BLOCK_ROWS = 25
const MOST_ROWS = 2 * BLOCK_ROWS // so many rows a block may have after lines were split or written

const isSame = (row: Row, old: Row): boolean =>
  row.key === old.key &&
  row.line === old.line &&
  row.gap === old.gap &&
  row.head?.key === old.head?.key &&
  row.double === old.double

/**
 * Cut rows into blocks. Blocks of `before` keep their first rows, so that one more line changes one block. A block in which
 * nothing changed is used again.
 */
export function toBlocks<One extends { key: string } = Row>(
  rows: readonly One[],
  before: readonly One[][] = [],
  same: (row: One, old: One) => boolean = isSame as (row: object, old: object) => boolean,
): One[][] {
  const known = new Map(before.map((block) => [block[0]!.key, block]))
  const blocks: One[][] = []
  let block: One[] = []
  let begun = 0 // how many of the blocks before have begun
  for (const row of rows) {
    const begins = known.has(row.key)
    if (!block.length || begins || block.length === (begun < before.length ? MOST_ROWS : BLOCK_ROWS))
      blocks.push((block = []))
    if (begins) begun += 1
    block.push(row)
  }
  return blocks.map((one) => {
    const old = known.get(one[0]!.key)
    return old?.length === one.length && one.every((row, at) => same(row, old[at]!)) ? old : one
  })
}
