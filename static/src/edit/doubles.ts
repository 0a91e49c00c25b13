// Lines that a person wrote where a retry found text as well: both are shown until the person has decided. Pure.
import type { Row } from '../transcript_text.ts'
import type { ClientOperation, Segment } from '../types.ts'
import { lineId } from '../transcript_text.ts'

const DOUBLE_SHARE = 0.5 // of a line that a person wrote: so much of it was recognised as well
const NEIGHBOURS = 8

/** What becomes of a line that a person wrote, and of what was recognised there. `both`: the line counts as checked. */
export type DoubleChoice = 'mine' | 'recognized' | 'both'

/** The recognised lines that say what a person wrote in a line, of those `near` it. None: the line stands alone. */
function recognizedAt(line: Segment, near: readonly (Segment | undefined)[]): Segment[] {
  if (line.source !== 'person' || line.checked || line.end <= line.start) return []
  const shared = (other: Segment) => Math.min(line.end, other.end) - Math.max(line.start, other.start)
  const there = near
    .filter((other) => other !== undefined)
    .filter((other) => other.source !== 'person' && other.chunk !== line.chunk && shared(other) > 0)
  const share = there.reduce((sum, other) => sum + shared(other), 0) / (line.end - line.start)
  if (share <= DOUBLE_SHARE) return []
  // A neighbour that only reaches into the line says something else.
  return there.filter(
    (other) => shared(other) > DOUBLE_SHARE * Math.min(other.end - other.start, line.end - line.start),
  )
}

const around = <T>(items: readonly T[], at: number): T[] =>
  items.slice(Math.max(0, at - NEIGHBOURS), at + NEIGHBOURS + 1)

/** Mark the lines that are there twice. */
export function withDoubles(rows: Row[]): Row[] {
  return rows.map((row, at) => {
    if (row.line?.source !== 'person') return row
    const near = around(rows, at).map(({ line }) => line)
    return recognizedAt(row.line, near).length ? { ...row, double: true } : row
  })
}

/** The operations that do what a person chose for a line. None: the line does not stand there twice. */
export function choiceOperations(lines: readonly Segment[], id: string, choice: DoubleChoice): ClientOperation[] {
  const at = lines.findIndex((line) => lineId(line) === id)
  const mine = lines[at]
  const others = mine ? recognizedAt(mine, around(lines, at)) : []
  if (!mine || !others.length) return []
  if (choice === 'both') return [{ op: 'check', ids: [id], on: true }]
  return (choice === 'mine' ? others : [mine]).map((line) => ({
    op: 'delete',
    id: lineId(line),
    v: line.version ?? 0,
  }))
}
