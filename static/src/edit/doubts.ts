// Words of which the model was unsure. A word that a person wrote, or of a line that a person checked, is not doubtful.
import type { Segment } from '../types.ts'

/** A word below this is doubtful. Measured: 5 % of the words are, one in five of them is wrong, 30 % of all errors are there. */
export const CERTAIN = 0.6

export interface Doubt {
  index: number // of the line
  from: number // UTF-16 units of its text as the page shows it
  to: number
  probability: number
}

const known = new WeakMap<Segment, Omit<Doubt, 'index'>[]>()

/** The doubtful words of a line. */
export function doubtsOf(line: Segment): Omit<Doubt, 'index'>[] {
  const before = known.get(line)
  if (before) return before
  const found: Omit<Doubt, 'index'>[] = []
  const text = line.text.trim()
  let end = 0
  for (const { word, probability, by } of line.checked ? [] : line.words) {
    const said = word.trim()
    const from = text.indexOf(said, end)
    if (from < 0) break // the words are not those of the text
    end = from + said.length
    if (said && probability < CERTAIN && (by ?? 'machine') === 'machine') found.push({ from, to: end, probability })
  }
  known.set(line, found)
  return found
}

/** The doubtful words of all lines, in order. */
export const allDoubts = (lines: readonly Segment[]): Doubt[] =>
  lines.flatMap((line, index) => doubtsOf(line).map((doubt) => ({ index, ...doubt })))

/** The next doubt behind a place (`step` 1) or before it (-1). Behind the last one comes the first. */
export function nextDoubt(
  doubts: readonly Doubt[],
  place: { index: number; offset: number },
  step: 1 | -1,
): Doubt | undefined {
  const isBehind = ({ index, from }: Doubt) => index > place.index || (index === place.index && from > place.offset)
  const isBefore = ({ index, from }: Doubt) => index < place.index || (index === place.index && from < place.offset)
  return step > 0 ? (doubts.find(isBehind) ?? doubts[0]) : (doubts.findLast(isBefore) ?? doubts.at(-1))
}
