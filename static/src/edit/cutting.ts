// Cuts a line in two, joins two lines, and moves a line in time. The service does the same (editing/cutting.py).
import type { Line } from './lines.ts'
import type { TimedWord } from './retime.ts'
import { joint } from './words.ts'

/** Both edges moved inward by more than this share of the line: the words are squeezed, not cut off. */
const INWARD = 0.1
/** Lengths that differ by less, in seconds, are equal: the line was moved as a whole. */
const SAME_S = 0.001

/** How many characters a text has, as the service counts them: code points. */
export const characters = (text: string): number => [...text].length

const size = (text: string): number => characters(text.trim())

/** The words before and behind the place `at` of the text. A word across the cut is cut in proportion. */
export function cutWords({ text, words }: Line, at: number): [TimedWord[], TimedWord[]] {
  const said = words.map(({ word }) => word).join('')
  let rest = at + said.length - said.trimStart().length + text.trimStart().length - text.length
  const left: TimedWord[] = []
  const right: TimedWord[] = []
  for (const one of words as TimedWord[]) {
    const head = one.word.slice(0, Math.max(0, rest))
    const tail = one.word.slice(Math.max(0, rest))
    rest -= one.word.length
    if (!tail.trim()) left.push(one)
    else if (!head.trim()) right.push(one)
    else {
      const middle = one.start + ((one.end - one.start) * size(head)) / size(one.word)
      left.push({ ...one, word: head, end: middle, by: 'spread' })
      right.push({ ...one, word: tail, start: middle, by: 'spread' })
    }
  }
  return [left, right]
}

/** Two lines as one, with the ID and the speaker of the first. */
export function joined(one: Line, other: Line): Line {
  const between = joint(one.text, other.text)
  let words = [...one.words, ...other.words]
  const [first, ...behind] = other.words
  if (one.words.length && first) words = [...one.words, { ...first, word: between + first.word.trimStart() }, ...behind]
  return {
    ...one,
    end: Math.max(one.end, other.end),
    text: one.text + between + other.text,
    words,
    held: one.held || other.held,
    checked: one.checked && other.checked,
  }
}

/** A line with other times, in seconds, and its words in them: taken along, squeezed, or cut off at the edges. */
export function moved(line: Line, start: number, end: number): Line {
  const length = line.end - line.start
  const scale = (end - start) / length
  const squeezed = Math.min(start - line.start, line.end - end) > INWARD * length
  const within = (time: number) => Math.min(Math.max(time, start), end)
  const words = (line.words as TimedWord[]).map((word) => {
    if (Math.abs(end - start - length) < SAME_S)
      return timed(word, word.start + start - line.start, word.end + start - line.start)
    if (squeezed) return timed(word, start + (word.start - line.start) * scale, start + (word.end - line.start) * scale)
    return timed(word, within(word.start), within(word.end))
  })
  return { ...line, start, end, words }
}

const timed = (word: TimedWord, start: number, end: number): TimedWord =>
  word.start === start && word.end === end ? word : { ...word, start, end, by: 'person' }
