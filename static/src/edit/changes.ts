// A change: one act of a person on its way to the service. It is in the outbox until the service has it.
import type { ClientOperation, Problem, Segment } from '../types.ts'
import type { Line, LineList } from './lines.ts'

/** A line as it was before an operation: the common beginning of both sides when somebody else changes it too. */
export interface Base {
  text: string
  start: number
  end: number
  before: string | null // the line before it
}
export interface Act {
  operation: ClientOperation // with the version that its line has, as far as this tab knows
  base: Base | null // of operations that depend on the text of a line
}
/** The form in which changes are stored: plain data. */
export interface Change {
  batch: string // sent twice, it is one edit
  job: string
  tab: string // the tab that sends it
  order: number
  open: boolean // still being typed: it is not sent
  acts: Act[]
  tried: boolean // perhaps the service has it already: it must be sent again as it is
  undoes?: string // the batch that this one takes back; it has no acts
  number?: number // of the edit that this one takes back
  problem?: Problem // why the service does not take it
}

const LETTERS = '0123456789abcdefghijklmnopqrstuvwxyz'

/** An ID of a new line, a batch or a tab. Its first letter tells it from the IDs of segments. */
export function newId(): string {
  const random = crypto.getRandomValues(new Uint8Array(23))
  return `n${[...random].map((byte) => LETTERS[byte % 36]).join('')}`
}

/** The lines whose text or times an operation changes. */
export function changedBy(operation: ClientOperation): string[] {
  switch (operation.op) {
    case 'text':
    case 'split':
    case 'delete':
    case 'time':
      return [operation.id]
    default:
      return 'ids' in operation && 'v' in operation ? operation.ids : [] // those without versions disturb no text
  }
}

/** The lines that an operation names. */
export const namedBy = (operation: ClientOperation): string[] =>
  'ids' in operation
    ? operation.ids
    : 'id' in operation
      ? [operation.id]
      : 'after' in operation && operation.after
        ? [operation.after]
        : []

/** The lines that an operation makes. */
export const madeBy = (operation: ClientOperation): string[] =>
  operation.op === 'heard' ? operation.lines.map(({ id }) => id) : 'new' in operation ? [operation.new] : []

/** A line as it is before an operation on it. */
export function baseOf(lines: LineList, id: string): Base | null {
  const line = lines.get(id)
  if (!line) return null
  const { text, start, end } = line
  return { text, start, end, before: lines.neighbour(line, -1)?.id ?? null }
}

/** The line that begins last of those that begin before a time, in seconds: where a line without its neighbours belongs. */
export function lineAt(lines: readonly Segment[], start: number): Line | undefined {
  let low = 0
  let high = lines.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (lines[middle]!.start <= start) low = middle + 1
    else high = middle
  }
  return lines[low - 1] as Line | undefined
}
