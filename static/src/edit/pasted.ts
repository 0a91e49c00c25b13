// What is pasted into a line: plain text. Several lines may become lines of their own.
import { clean } from './apply.ts'

/** The lines of a text that say something. */
export const linesOf = (text: string): string[] =>
  text
    .split(/[\r\n\u2028\u2029]+/)
    .map(clean)
    .filter(Boolean)

/** Lines put in at the selection of a text: the lines that result. */
export function pastedLines(text: string, [from, to]: [number, number], lines: string[]): string[] {
  const all = [...lines]
  all[0] = text.slice(0, from) + all[0]!
  all[all.length - 1] += text.slice(to)
  return all.map(clean)
}
