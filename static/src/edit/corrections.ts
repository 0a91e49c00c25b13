// Corrections of words, as the vocabulary may learn them. Pure.
import { hunks } from './difference.ts'
import { isSpoken, splitWords, wordKey } from './words.ts'

const MOST_WORDS = 4 // of a correction that may be about a name
export const MOST_CHARACTERS = 100 // of a term
const LEAST_CHARACTERS = 2 // of what was heard: one Chinese character may be anything
const MOST_STORED = 200
const MARK = /[,;:!?，；：！？、。]/ // a name has none
const OFFERED = -1
export const SECOND = 2 // the same correction so often is no chance

/** Some words became others, in one place of a line. */
export interface Correction {
  heard: string
  term: string
}

/** A text without the marks around it. */
export const withoutMarks = (text: string): string => {
  const characters = [...text]
  const [first, last] = [characters.findIndex(isSpoken), characters.findLastIndex(isSpoken)]
  return first < 0 ? '' : characters.slice(first, last + 1).join('')
}

/** The words that took the place of others. Null: nothing did, or more than a name. */
export function correctionOf(before: string, after: string): Correction | null {
  const [old, now] = [splitWords(before), splitWords(after)]
  const found = hunks(old.map(wordKey), now.map(wordKey))
  const [one] = found
  if (found.length !== 1 || !one || one.last - one.first > MOST_WORDS || one.to - one.from > MOST_WORDS) return null
  const heard = withoutMarks(old.slice(one.first, one.last).join(''))
  const term = withoutMarks(now.slice(one.from, one.to).join(''))
  if (heard === term || [...heard].length < LEAST_CHARACTERS || term.length > MOST_CHARACTERS) return null
  return term && !MARK.test(term + heard) ? { heard, term } : null
}

/** How often each correction was made, those of long ago left out. */
export type Counts = Record<string, number>

/** Count a correction. True: it is time to offer its term. */
export function count(counts: Counts, { heard, term }: Correction): boolean {
  const key = `${heard}\n${term}`
  const before = counts[key] ?? 0
  if (before === OFFERED) return false
  delete counts[key] // the newest stand last
  counts[key] = before + 1 >= SECOND ? OFFERED : before + 1
  for (const old of Object.keys(counts).slice(0, -MOST_STORED)) delete counts[old]
  return counts[key] === OFFERED
}
