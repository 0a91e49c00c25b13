// How marks hold on to their words while people edit. The service does the same (editing/marks.py), to the same result.
// Places count code points, as the service does.
import type { Mark } from '../types.ts'
import { hunks, type Hunk } from './difference.ts'
import { isSpoken, isUnspaced, joint, splitWords } from './words.ts'

export interface MarkedLine {
  id: string
  text: string
}
type Anchor = Mark['first']

/** The marks after lines changed. Those that stay where they are stay the same objects. */
export function follow(marks: readonly Mark[], before: readonly MarkedLine[], after: readonly MarkedLine[]): Mark[] {
  if (!marks.length || before === after) return [...marks]
  const stretches = new Stretches(before, after)
  return marks.map((mark) => {
    let first = stretches.moved(mark.first, true)
    let last = stretches.moved(mark.last, false)
    let lost = ''
    if (mark.kind === 'bookmark') {
      last = first
      lost = stretches.lineLost(mark.first)
    } else if (isSame(mark.first, mark.last)) {
      first = last
    } else {
      ;[first, last] = stretches.trimmed(first, last)
      if (!stretches.isBefore(first, last)) {
        lost = wordsOf(mark, before)
        if (lost) first = last
      }
    }
    const same = isSame(first, mark.first) && isSame(last, mark.last) && (mark.lost || !lost)
    return same ? mark : { ...mark, first, last, lost: mark.lost || lost }
  })
}

const isSame = (one: Anchor, other: Anchor): boolean => one.line === other.line && one.at === other.at

/** The marked words, or the whole line of a bookmark. '': they are not in these lines. */
export function wordsOf(mark: Mark, lines: readonly MarkedLine[]): string {
  const begin = lines.findIndex(({ id }) => id === mark.first.line)
  const end = lines.findIndex(({ id }) => id === mark.last.line)
  if (begin < 0 || end < 0) return ''
  if (mark.kind === 'bookmark') return lines[begin]!.text
  const parts = lines.slice(begin, end + 1).map(({ text }) => [...text])
  if (parts.length) {
    parts[parts.length - 1] = parts.at(-1)!.slice(0, mark.last.at)
    parts[0] = parts[0]!.slice(mark.first.at)
  }
  return parts
    .map((part) => part.join('').trim())
    .filter(Boolean)
    .reduce((said, part) => said + (said ? joint(said, part) : '') + part, '')
}

/** A line that is in both texts, with the lines behind it that are in one of them only. */
interface Stretch {
  before: MarkedLine[]
  after: MarkedLine[]
  old: string[] // the characters of the joined lines
  now: string[]
  hunks: Hunk[] // in characters
}

/** Two states of the same lines, cut where a line is in both. */
class Stretches {
  #before: MarkedLine[][]
  #after: MarkedLine[][]
  #of = new Map<string, number>()
  #order: Map<string, number>
  #known = new Map<number, Stretch>()

  constructor(
    before: readonly MarkedLine[],
    readonly after: readonly MarkedLine[],
  ) {
    this.#order = new Map(after.map(({ id }, at) => [id, at]))
    const both = new Set(before.filter(({ id }) => this.#order.has(id)).map(({ id }) => id))
    this.#before = cut(before, both)
    this.#after = cut(after, both)
    this.#before.forEach((lines, at) => lines.forEach(({ id }) => this.#of.set(id, at)))
  }
  /** Where the first (`begins`) or the last anchor of a mark is now. */
  moved(anchor: Anchor, begins: boolean): Anchor {
    const nth = this.#of.get(anchor.line)
    if (nth === undefined || this.#isSame(nth)) return anchor
    const { before, after, old, now, hunks: changes } = this.#stretch(nth)
    const [first] = this.after
    if (!after.length) return first ? { line: first.id, at: 0 } : anchor // the first lines of the text were deleted
    return anchorAt(after, moved(offsetOf(before, anchor), changes, old, now, begins))
  }
  /** The text of the line of a bookmark if its words were deleted, else ''. */
  lineLost(anchor: Anchor): string {
    const nth = this.#of.get(anchor.line)
    if (nth === undefined || this.#order.has(anchor.line)) return ''
    const { before, after, hunks: changes } = this.#stretch(nth)
    const at = offsetOf(before, anchor)
    const gone = !after.length || changes.some(({ first, last, from, to }) => first < at && at < last && from === to)
    return gone ? before.find(({ id }) => id === anchor.line)!.text : ''
  }
  isBefore(one: Anchor, other: Anchor): boolean {
    const [first, second] = [one, other].map(({ line }) => this.#order.get(line))
    if (first === undefined || second === undefined) return (first ?? -1) < (second ?? -1)
    return first < second || (first === second && one.at < other.at)
  }
  /** The anchors of a mark without lines of which it has no character. */
  trimmed(first: Anchor, last: Anchor): [Anchor, Anchor] {
    let begin = this.#order.get(first.line)
    let end = this.#order.get(last.line)
    if (begin === undefined || end === undefined) return [first, last]
    while (begin < end && first.at >= lengthOf(this.after[begin]!)) first = { line: this.after[++begin]!.id, at: 0 }
    while (begin < end && last.at === 0) {
      const line: MarkedLine = this.after[--end]!
      last = { line: line.id, at: lengthOf(line) }
    }
    return [first, last]
  }
  #isSame(nth: number): boolean {
    const [before, after] = [this.#before[nth]!, this.#after[nth]!]
    return (
      before.length === after.length &&
      before.every(({ id, text }, at) => after[at]!.id === id && after[at]!.text === text)
    )
  }
  #stretch(nth: number): Stretch {
    const known = this.#known.get(nth)
    if (known) return known
    const [before, after] = [this.#before[nth]!, this.#after[nth]!]
    const old = joined(before)
    const now = joined(after)
    const stretch = { before, after, old: [...old], now: [...now], hunks: differences(old, now) }
    this.#known.set(nth, stretch)
    return stretch
  }
}

/** Lines in groups that begin with a line of `both`. The first group has those before all of them. */
function cut(lines: readonly MarkedLine[], both: Set<string>): MarkedLine[][] {
  const groups: MarkedLine[][] = [[]]
  for (const line of lines) {
    if (both.has(line.id)) groups.push([])
    groups.at(-1)!.push(line)
  }
  return groups
}

const joined = (lines: MarkedLine[]): string => lines.map(({ text }) => text).join('\n')
const lengthOf = ({ text }: MarkedLine): number => [...text].length

function offsetOf(lines: MarkedLine[], { line, at }: Anchor): number {
  let offset = 0
  for (const one of lines) {
    if (one.id === line) return offset + Math.min(at, lengthOf(one))
    offset += lengthOf(one) + 1
  }
  return offset
}

function anchorAt(lines: MarkedLine[], offset: number): Anchor {
  let begin = 0
  for (const one of lines.slice(0, -1)) {
    const length = lengthOf(one)
    if (offset <= begin + length) return { line: one.id, at: offset - begin }
    begin += length + 1
  }
  const last = lines.at(-1)!
  return { line: last.id, at: Math.min(offset - begin, lengthOf(last)) }
}

/** What changed, word by word, in characters, without those that both have at the edges of a change. */
function differences(old: string, now: string): Hunk[] {
  const [oldWords, nowWords] = [splitWords(old), splitWords(now)]
  const [oldEnds, nowEnds] = [endsOf(oldWords), endsOf(nowWords)]
  const [before, after] = [[...old], [...now]]
  return hunks(oldWords, nowWords).map((hunk) => {
    let [first, last] = [oldEnds[hunk.first]!, oldEnds[hunk.last]!]
    let [from, to] = [nowEnds[hunk.from]!, nowEnds[hunk.to]!]
    for (; first < last && from < to && before[first] === after[from]; first += 1) from += 1
    for (; first < last && from < to && before[last - 1] === after[to - 1]; last -= 1) to -= 1
    return { first, last, from, to }
  })
}

function endsOf(words: string[]): number[] {
  const ends = [0]
  for (const word of words) ends.push(ends.at(-1)! + [...word].length)
  return ends
}

/** What is written at the edge of marked words is marked only if it makes a word of them longer. */
function moved(at: number, changes: Hunk[], old: string[], now: string[], begins: boolean): number {
  let shift = 0
  for (const { first, last, from, to } of changes) {
    if (at < first) break
    if (at > last) shift = to - last
    else if (first < last) return at === last ? to : Math.min(from + at - first, to)
    else {
      const added = now.slice(from, to)
      if (begins) return to - (old[at] !== undefined && isLetter(old[at]) ? letters(added.reverse()) : 0)
      return from + (at && isLetter(old[at - 1]!) ? letters(added) : 0)
    }
  }
  return at + shift
}

/** With how many letters characters begin. */
function letters(characters: string[]): number {
  const end = characters.findIndex((character) => !isLetter(character))
  return end < 0 ? characters.length : end
}
const isLetter = (character: string): boolean => isSpoken(character) && !isUnspaced(character)
