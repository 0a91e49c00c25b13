// The times of the words of an edited text, shown at once. What the service computes (editing/retiming.py) replaces them;
// it has the same rules and comes to the same result.
import type { Segment } from '../types.ts'
import { pairs } from './difference.ts'
import { isSpoken, isUnspaced, splitWords, wordKey } from './words.ts'

export type TimedWord = Segment['words'][number]
/** The fewest words that begin and end where words of `splitWords` begin and end: nearly always one. */
interface Group {
  words: TimedWord[]
  parts: string[]
}

/** How fast inserted words are taken to be said, in characters per second. */
const CHARACTERS_PER_S = 15
const UNSPACED_PER_S = 5
/** An inserted word gets at least this many seconds, if half of its neighbour can be taken for it. */
const LEAST_S = 0.06

/**
 * The words of `text`, with the times of the equal ones of `words`. Inserted words stay between `earliest` and `latest`,
 * the end of the line before and the start of the line behind, in seconds.
 */
export function retime(words: TimedWord[], text: string, earliest: number, latest: number): TimedWord[] {
  const now = splitWords(/^\s/.test(words[0]?.word ?? '') ? ` ${text}` : text) // a word keeps the space before it
  const groups = groupsOf(words)
  const kept = keptGroups(groups, now)
  const result: TimedWord[] = []
  let replaced: TimedWord[] = []
  let at = 0 // in `now`
  groups.forEach((group, index) => {
    const begin = kept.get(index)
    if (begin === undefined) {
      replaced.push(...group.words)
      return
    }
    const same = withText(group, now.slice(begin, begin + group.parts.length))
    if (result.length || replaced.length || begin === at) {
      result.push(...written(result, replaced, now.slice(at, begin), same[0]!.start))
    } else {
      const [inserted, first] = before(now.slice(at, begin), same[0]!, earliest)
      result.push(...inserted)
      same[0] = first
    }
    result.push(...same)
    replaced = []
    at = begin + group.parts.length
  })
  result.push(...written(result, replaced, now.slice(at), latest))
  return result
}

function groupsOf(words: TimedWord[]): Group[] {
  const parts = splitWords(words.map(({ word }) => word).join(''))
  const ends = new Map<number, number>()
  let position = 0
  parts.forEach((part, index) => ends.set((position += part.length), index + 1))
  const groups: Group[] = []
  let first = 0
  let part = 0
  position = 0
  words.forEach((word, index) => {
    const end = ends.get((position += word.word.length))
    if (end === undefined) return
    groups.push({ words: words.slice(first, index + 1), parts: parts.slice(part, end) })
    first = index + 1
    part = end
  })
  return groups
}

/** For each group that the new words still have: the position of its first part in them. */
function keptGroups(groups: Group[], now: string[]): Map<number, number> {
  const old = groups.flatMap(({ parts }) => parts.map(wordKey))
  const found = new Map(pairs(old, now.map(wordKey)))
  const kept = new Map<number, number>()
  let first = 0
  groups.forEach(({ words, parts }, index) => {
    const start = found.get(first)
    const whole = start !== undefined && parts.every((_, at) => found.get(first + at) === start + at)
    first += parts.length
    if (whole && (words.length === 1 || parts.every((part, at) => part === now[start + at]))) kept.set(index, start)
  })
  return kept
}

const withText = ({ words }: Group, parts: string[]): TimedWord[] =>
  words.length > 1 ? [...words] : [{ ...words[0]!, word: parts.join('') }]

/** Words that a person wrote: in the time of what they replace, or else in the silence behind the last of `done`. */
function written(done: TimedWord[], replaced: TimedWord[], texts: string[], latest: number): TimedWord[] {
  if (!texts.length) return []
  if (replaced.length) return spread(texts, replaced[0]!.start, replaced.at(-1)!.end)
  let last = done.at(-1)!
  if (latest - last.end < LEAST_S * texts.length) {
    last = { ...last, end: (last.start + last.end) / 2 }
    done[done.length - 1] = last
  }
  return spread(texts, last.end, Math.max(last.end, Math.min(last.end + saidS(texts), latest)))
}

/** Words inserted before the first word of a line, and that word. It loses half of its time if it must. */
function before(texts: string[], first: TimedWord, earliest: number): [TimedWord[], TimedWord] {
  if (first.start - earliest < LEAST_S * texts.length) {
    const middle = (first.start + first.end) / 2
    return [spread(texts, first.start, middle), { ...first, start: middle }]
  }
  return [spread(texts, Math.max(earliest, first.start - saidS(texts)), first.start), first]
}

/** The texts as words in the time from `start` to `end`, in proportion to their characters. */
export function spread(texts: string[], start: number, end: number): TimedWord[] {
  const sizes = texts.map((text) => Math.max(1, [...text.trim()].length))
  const scale = (end - start) / sizes.reduce((sum, size) => sum + size, 0)
  let place = 0
  return texts.map((word, index) => {
    const from = start + scale * place
    place += sizes[index]!
    const to = index === texts.length - 1 ? end : start + scale * place
    return { start: from, end: to, word, probability: 1, by: 'spread' }
  })
}

/** How many seconds words that nobody timed are taken to last. */
function saidS(texts: string[]): number {
  const said = texts.flatMap((text) => [...text]).filter(isSpoken)
  const slow = said.filter(isUnspaced).length
  return slow / UNSPACED_PER_S + (said.length - slow) / CHARACTERS_PER_S
}
