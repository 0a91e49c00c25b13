// Two transcripts of one recording, word by word. Pure.
import { pairs } from './difference.ts'
import type { TimedWord } from './timed_words.ts'

/** Words of this transcript, and what another one has in their place. One of both may be empty. */
export interface Difference {
  start: number
  line: string | null // in this transcript
  before: string
  mine: string
  theirs: string
  after: string
}

const WINDOW = 240 // words, compared at once: their table is small
const LATE_S = 2 // so much the times of one word differ between two models
const ANCHOR = 3 // so many equal words in a row are certainly the same place
const CONTEXT = 4 // words shown before and behind a difference

/** The positions of the words that both have, ascending. */
export function sameWords(mine: readonly TimedWord[], theirs: readonly TimedWord[]): [number, number][] {
  const [ours, others] = [mine.map(({ key }) => key), theirs.map(({ key }) => key)]
  const found: [number, number][] = []
  let one = 0
  let other = 0
  while (one < mine.length && other < theirs.length) {
    const end = Math.min(one + WINDOW, mine.length)
    const isLast = end === mine.length
    const until = isLast ? Infinity : mine[end]!.start
    const stop = firstAfter(theirs, other, until + LATE_S)
    const near = pairs(ours.slice(one, end), others.slice(other, stop))
    const anchor = isLast ? near.length - 1 : lastAnchor(near)
    for (const [left, right] of near.slice(0, anchor + 1)) found.push([one + left, other + right])
    if (isLast) break
    if (anchor < 0) [one, other] = [end, firstAfter(theirs, other, until)]
    else [one, other] = [one + near[anchor]![0] + 1, other + near[anchor]![1] + 1]
  }
  return found
}

function firstAfter(words: readonly TimedWord[], from: number, time: number): number {
  let at = from
  while (at < words.length && words[at]!.start <= time) at += 1
  return at
}

/** The end of the last row of pairs that follow each other on both sides, or -1. */
function lastAnchor(near: readonly [number, number][]): number {
  for (let at = near.length - 1; at >= ANCHOR - 1; at -= 1) {
    const [left, right] = near[at]!
    const [first, from] = near[at - ANCHOR + 1]!
    if (left - first === ANCHOR - 1 && right - from === ANCHOR - 1) return at
  }
  return -1
}

/** What differs, in order. Case and marks do not count. */
export function differencesOf(mine: readonly TimedWord[], theirs: readonly TimedWord[]): Difference[] {
  const found: Difference[] = []
  let one = 0
  let other = 0
  const end: [number, number] = [mine.length, theirs.length]
  for (const [left, right] of [...sameWords(mine, theirs), end]) {
    if (left > one || right > other) {
      found.push({
        start: (left > one ? mine[one] : theirs[other])!.start,
        line: (mine[one] ?? mine[one - 1])?.line ?? null,
        before: textOf(mine.slice(Math.max(0, one - CONTEXT), one)),
        mine: textOf(mine.slice(one, left)),
        theirs: textOf(theirs.slice(other, right)),
        after: textOf(mine.slice(left, left + CONTEXT)),
      })
    }
    ;[one, other] = [left + 1, right + 1]
  }
  return found
}

/** Words as a text on one line. */
export const textOf = (words: readonly TimedWord[]): string =>
  words
    .map(({ raw, first }, at) => (first && at ? ` ${raw}` : raw))
    .join('')
    .trim()
