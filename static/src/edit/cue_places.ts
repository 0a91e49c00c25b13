// Where a stretch of a line stands in the rows of a subtitle. Pure.
import { unspaced } from './cue_rows.ts'
import type { Cue } from './cue.ts'

/** A stretch of a row of a subtitle: the place of the row, and UTF-16 units of its text. */
export type RowStretch = readonly [row: number, from: number, to: number]

/** The characters of rows from one to another, counted without spaces. */
function inRows(rows: readonly string[], first: number, last: number): RowStretch[] {
  let at = 0
  return rows.flatMap((row, nth): RowStretch[] => {
    let from = -1
    let to = -1
    for (let unit = 0; unit < row.length; unit += 1) {
      if (!row[unit]!.trim()) continue
      if (at >= first && at < last) {
        if (from < 0) from = unit
        to = unit + 1
      }
      at += 1
    }
    return from < 0 ? [] : [[nth, from, to]]
  })
}

/**
 * What a subtitle shows of a stretch of a line, which is given by its ID and UTF-16 units of its text. `textOf` gives the text
 * of a line without spaces at its ends. Spaces may differ between lines and rows.
 */
export function rowStretches(
  cue: Cue,
  line: string,
  [from, to]: readonly [number, number],
  textOf: (id: string) => string,
): RowStretch[] {
  const name = cue.speaker && cue.text.startsWith(`${cue.speaker}: `) ? `${cue.speaker}:` : ''
  let before = unspaced(name)
  return cue.parts.flatMap(({ line: id, begin, end }) => {
    const characters = [...textOf(id)]
    const text = characters.slice(begin, end).join('')
    const start = characters.slice(0, begin).join('').length
    const count = (until: number) => before + unspaced(text.slice(0, Math.max(0, until - start)))
    const found = id === line ? inRows(cue.rows, count(from), count(to)) : []
    before += unspaced(text)
    return found
  })
}
