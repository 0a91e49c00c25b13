// The subtitles of a text as rows of the page, and where a character of one stands in the lines. Pure.
import type { Segment } from '../types.ts'
import { lineId, toBlocks, type NewLine } from '../transcript_text.ts'
import type { Cue } from './cue.ts'

export interface CueRow {
  key: string
  number: number // as in the file
  cue: Cue
}

const isSame = (row: CueRow, old: CueRow): boolean =>
  row.key === old.key && row.number === old.number && row.cue === old.cue

/** Rows in blocks. Blocks of `before` keep their first rows, and one in which nothing changed is used again. */
export const cueBlocks = (rows: readonly CueRow[], before: readonly CueRow[][] = []): CueRow[][] =>
  toBlocks(rows, before, isSame)

/** Put the row of a new line behind the last one of another line, or before all. It has no text and no number yet. */
export function withNewCue(rows: CueRow[], line: NewLine | null): CueRow[] {
  if (!line || rows.some(({ cue }) => cue.lines.includes(line.id))) return rows
  const { id, after, start, end } = line
  const at = after === null ? 0 : 1 + rows.findLastIndex(({ cue }) => cue.lines.includes(after))
  const plain = { held: false, gap: false, speaker: null, speed: 0, problems: [] }
  const cue: Cue = { ...plain, key: id, lines: [id], parts: [], start, end, rows: [], text: '' }
  return rows.toSpliced(at, 0, { key: id, number: 0, cue })
}

/** The first subtitle that has something of each line: there the line is edited. */
export function homes(cues: readonly Cue[]): Map<string, Cue> {
  const found = new Map<string, Cue>()
  for (const cue of cues) for (const line of cue.lines) if (!found.has(line)) found.set(line, cue)
  return found
}

export const unspaced = (text: string): number => text.replace(/\s/gu, '').length

/**
 * Where a place in the text of a subtitle stands in its lines: the ID of the line, and UTF-16 units of its text. Spaces may
 * differ between the two. Null: the lines are not there any more.
 */
export function placeIn(cue: Cue, offset: number, lines: readonly Segment[]): { id: string; offset: number } | null {
  const name = cue.speaker && cue.text.startsWith(`${cue.speaker}: `) ? cue.speaker.length + 2 : 0
  let left = unspaced(cue.text.slice(name, Math.max(name, offset)))
  let last: { id: string; offset: number } | null = null
  for (const { line: id, begin, end } of cue.parts) {
    const text = lines.find((line) => lineId(line) === id)?.text.trim()
    if (text === undefined) continue
    const characters = [...text]
    let at = characters.slice(0, begin).join('').length
    for (const character of characters.slice(begin, end)) {
      if (!left && character.trim()) return { id, offset: at }
      if (character.trim()) left -= character.length
      at += character.length
    }
    last = { id, offset: at }
  }
  return last
}
