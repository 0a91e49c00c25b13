// Merges two edits of the same text word by word. The service never merges: it says which line changed meanwhile.
import { hunks } from './difference.ts'
import { splitWords } from './words.ts'

/** `base.slice(first, last)` became `words`. */
interface Change {
  first: number
  last: number
  words: string[]
}

function changes(base: string[], text: string): Change[] {
  const words = splitWords(text)
  return hunks(base, words).map(({ first, last, from, to }) => ({ first, last, words: words.slice(from, to) }))
}
const isSame = (one: Change, other: Change): boolean =>
  one.first === other.first && one.last === other.last && one.words.join('\n') === other.words.join('\n')

/** Whether two changes have no certain order: they overlap, or one is an insertion beside the other. */
function meet(one: Change, other: Change): boolean {
  if (one.first === one.last || other.first === other.last) return one.first <= other.last && other.first <= one.last
  return one.first < other.last && other.first < one.last
}

/** The text with both edits of `base`. Null: they change the same place, and a person must choose. */
export function mergeTexts(base: string, mine: string, theirs: string): string | null {
  const words = splitWords(base)
  const ours = changes(words, mine)
  const others = changes(words, theirs).filter((other) => !ours.some((one) => isSame(one, other)))
  if (ours.some((one) => others.some((other) => meet(one, other)))) return null
  const result: string[] = []
  let at = 0
  for (const change of [...ours, ...others].sort((one, other) => one.first - other.first)) {
    result.push(...words.slice(at, change.first), ...change.words)
    at = change.last
  }
  return [...result, ...words.slice(at)].join('').trim()
}
