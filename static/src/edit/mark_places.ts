// Marks in the text as the page shows it: what they cover, and operations that the service does not have yet. Pure.
import type { Stretch } from './highlights.ts'
import { lineId } from '../transcript_text.ts'
import type { ClientOperation, Mark, Segment } from '../types.ts'

/** A place: behind so many code points of a line. */
export type Anchor = Mark['first']

/** Marks with operations that the service does not have yet. */
export function withOperations(marks: Mark[], operations: readonly ClientOperation[]): Mark[] {
  let now = marks
  for (const operation of operations) {
    if (operation.op === 'mark' && !now.some(({ id }) => id === operation.id)) {
      const { op: _op, ...mark } = operation
      now = [...now, { ...mark, lost: '', author: '', at: Date.now() / 1000 }]
    } else if (operation.op === 'change_mark') {
      const { id, colour, text } = operation
      now = now.map((mark) =>
        mark.id === id ? { ...mark, colour: colour ?? mark.colour, text: text ?? mark.text } : mark,
      )
    } else if (operation.op === 'unmark') {
      now = now.filter(({ id }) => !operation.ids.includes(id))
    }
  }
  return now
}

/** The UTF-16 units of a line as the page shows it, without spaces at its ends, for a place in code points. */
export function shownAt({ text }: Pick<Segment, 'text'>, at: number): number {
  const lead = text.length - text.trimStart().length
  return Math.max(0, Math.min([...text].slice(0, at).join('').length - lead, text.trim().length))
}
/** The place in code points of UTF-16 units of a line as the page shows it. */
export function anchorOf(line: Segment, offset: number): Anchor {
  const lead = line.text.length - line.text.trimStart().length
  return { line: lineId(line), at: [...line.text.slice(0, lead + offset)].length }
}

/** What marks cover, line by line. Lost ones cover nothing. */
export function stretchesOf(
  marks: readonly Mark[],
  lines: readonly Segment[],
  indexOf: (line: string) => number,
): Stretch[] {
  return marks.flatMap(({ kind, first, last, lost }) => {
    const [begin, end] = [indexOf(first.line), indexOf(last.line)]
    if (kind === 'bookmark' || lost || begin < 0 || end < begin) return []
    return lines.slice(begin, end + 1).flatMap((line, nth): Stretch[] => {
      const index = begin + nth
      const from = index === begin ? shownAt(line, first.at) : 0
      const to = index === end ? shownAt(line, last.at) : line.text.trim().length
      return from < to ? [[index, from, to]] : []
    })
  })
}
