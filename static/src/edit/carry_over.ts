// The corrections of one transcript, for another transcript of the same recording: each is proposed where its old words
// stand at the same time. What a person edited here stays as it is. Pure.
import type { ClientOperation, Segment } from '../types.ts'
import { lineId } from '../transcript_text.ts'
import { textOf } from './compare.ts'
import { hunks, type Hunk } from './difference.ts'
import { inTheirPlace, marksOf, spaced, type Piece } from './in_place.ts'
import { timedWords, type TimedWord } from './timed_words.ts'
import { isUnspaced } from './words.ts'

/** A transcript as the model wrote it, and as it is now. */
export interface Version {
  machine: readonly Segment[]
  now: readonly Segment[]
}
/** Words that people changed. Without `old` they were put in, without `now` taken out. */
export interface Correction {
  start: number // in seconds
  old: string
  now: string
}
/** A correction that fits: what takes the place of `words.slice(from, to)`. */
export interface Fitting extends Correction {
  line: string
  from: number
  to: number
  pieces: Piece[]
}
export interface CarriedOver {
  fitting: Fitting[]
  missing: Correction[] // their old words do not stand here, or a person edited them here
  there: number // corrections that this version does not need: its text is so already
  words: TimedWord[] // of this version
}

const LATE_S = 2 // so much the times of one word differ between two models

interface Change extends Correction {
  before: TimedWord | undefined // the words around it, as the model wrote them
  after: TimedWord | undefined
  went: TimedWord[]
  came: TimedWord[]
  apart: boolean // whole lines that a person wrote: they have no place in another line
}

export function carryOver(other: Version, here: Version): CarriedOver {
  const words = timedWords(here.now)
  const places = new Places(words, touchedBy(here, words))
  const result: CarriedOver = { fitting: [], missing: [], there: 0, words }
  for (const change of changesOf(other)) {
    const { start, old, now } = change
    const fitting = places.take(change)
    if (fitting) result.fitting.push(fitting)
    else if (places.has(change)) result.there += 1
    else result.missing.push({ start, old, now })
  }
  return result
}

/** The operations that do corrections, one for each line. */
export function operationsFor({ words }: CarriedOver, chosen: readonly Fitting[]): ClientOperation[] {
  const replaced = new Map(chosen.filter(({ to, from }) => to > from).map((one) => [one.from, one]))
  const added = new Map(chosen.filter(({ to, from }) => to === from).map((one) => [one.from, one]))
  const texts = new Map<string, string>()
  const add = (line: string, text: string) => texts.set(line, (texts.get(line) ?? '') + text)
  const put = ({ pieces }: Fitting) => pieces.forEach(({ line, text }) => add(line, text))
  for (let at = 0; at <= words.length; at += 1) {
    const news = added.get(at)
    if (news) put(news)
    const fitting = replaced.get(at)
    if (fitting) {
      for (const { line } of words.slice(at, fitting.to)) add(line, '')
      put(fitting)
      at = fitting.to - 1
    } else if (words[at]) add(words[at]!.line, words[at]!.raw)
  }
  const changed = new Set(
    chosen.flatMap(({ from, to, pieces }) => [...words.slice(from, to), ...pieces].map(({ line }) => line)),
  )
  return [...changed].map((id) => {
    const text = texts.get(id)!.trim()
    return text ? { op: 'text', id, v: 0, text } : { op: 'delete', id, v: 0 }
  })
}

function changesOf({ machine, now }: Version): Change[] {
  const [heard, words] = [timedWords(machine), timedWords(now)]
  return stretches(machine, now, heard, words).map(({ first, last, from, to }) => {
    const [went, came] = [heard.slice(first, last), words.slice(from, to)]
    const [before, after] = [heard[first - 1], heard[last]]
    const start = (went[0] ?? came[0])!.start
    const apart = !went.length && came[0]!.first && (words[to]?.first ?? true)
    return { start, old: textOf(went), now: textOf(came), before, after, went, came, apart }
  })
}

/** What people changed here, by position: words that they wrote, and gaps (before the word) where they took words out. */
function touchedBy({ machine, now }: Version, words: TimedWord[]): { written: Set<number>; cut: Set<number> } {
  const touched = { written: new Set<number>(), cut: new Set<number>() }
  for (const { from, to } of stretches(machine, now, timedWords(machine), words)) {
    for (let at = from; at < to; at += 1) touched.written.add(at)
    if (from === to) touched.cut.add(from)
  }
  return touched
}

/** What became of the words of a model. Only lines that belong together are compared. */
function stretches(
  machine: readonly Segment[],
  now: readonly Segment[],
  heard: readonly TimedWord[],
  words: readonly TimedWord[],
): Hunk[] {
  const found: Hunk[] = []
  const [ofHeard, ofWords] = [firstWords(machine, heard), firstWords(now, words)]
  let [line, other] = [0, 0]
  const end: [number, number] = [machine.length, now.length]
  for (const [next, following] of [...commonLines(machine.map(lineId), now.map(lineId)), end]) {
    const [first, last] = [ofHeard[line]!, ofHeard[next]!]
    const [from, to] = [ofWords[other]!, ofWords[following]!]
    const texts = (some: readonly TimedWord[]) => some.map(({ text }) => text)
    for (const hunk of hunks(texts(heard.slice(first, last)), texts(words.slice(from, to))))
      found.push({
        first: first + hunk.first,
        last: first + hunk.last,
        from: from + hunk.from,
        to: from + hunk.to,
      })
    ;[line, other] = [next, following]
  }
  return found
}

/** The position of the first word of each line, and the number of words. */
function firstWords(lines: readonly Segment[], words: readonly TimedWord[]): number[] {
  const counts = new Map<string, number>()
  for (const { line } of words) counts.set(line, (counts.get(line) ?? 0) + 1)
  const found = [0]
  for (const line of lines) found.push(found.at(-1)! + (counts.get(lineId(line)) ?? 0))
  return found
}

/** The lines that both lists have, in an order that both have: as many as possible (a longest ascending row). */
function commonLines(one: string[], other: string[]): [number, number][] {
  const places = new Map(one.map((id, at) => [id, at]))
  interface Link {
    pair: [number, number]
    before: Link | undefined
  }
  const ends: Link[] = [] // by length - 1: the row of that length that ends first
  other.forEach((id, at) => {
    const place = places.get(id)
    if (place === undefined) return
    let length = ends.findLastIndex(({ pair }) => pair[0] < place) + 1
    ends[length] = { pair: [place, at], before: ends[length - 1] }
  })
  const found: [number, number][] = []
  for (let link = ends.at(-1); link; link = link.before) found.unshift(link.pair)
  return found
}

/** Where words stand in this version. What one correction takes no other one takes. */
class Places {
  #starts = new Map<string, number[]>() // by key: the positions
  #added = new Set<number>()

  constructor(
    readonly words: TimedWord[],
    readonly touched: { written: Set<number>; cut: Set<number> },
  ) {
    words.forEach(({ key }, at) => {
      const known = this.#starts.get(key)
      if (known) known.push(at)
      else this.#starts.set(key, [at])
    })
  }

  /** Take the place where the old words stand. Null: there is none. */
  take(change: Change): Fitting | null {
    const { start, old, now, went } = change
    const place = went.length ? this.#replacedBy(change) : this.#gapFor(change)
    if (!place) return null
    const { from, to } = place
    const { line } = this.words[from] ?? this.words[from - 1]!
    for (let at = from; at < to; at += 1) this.touched.written.add(at)
    if (from === to) this.#added.add(from)
    return { start, old, now, line, from, to, pieces: place.pieces }
  }

  /** Whether the new words stand here. */
  has({ came, went, before, after, start }: Change): boolean {
    if (came.length && went.length) return this.#find(came, start, formOf(went, came)).length > 0
    const around = [before, ...came, after].filter((word) => word !== undefined)
    return this.#find(around, before?.start ?? start, sameWord).length > 0
  }

  #find(wanted: TimedWord[], start: number, same: typeof exactly): number[] {
    const [first, ...others] = wanted
    if (!first) return []
    return (this.#starts.get(first.key) ?? []).filter(
      (at) =>
        Math.abs(this.words[at]!.start - start) <= LATE_S &&
        same(first, this.words[at]!) &&
        others.every((word, nth) => {
          const there = this.words[at + 1 + nth]
          return there !== undefined && same(word, there)
        }),
    )
  }

  #replacedBy(change: Change) {
    const { went, came, start } = change
    const { words } = this
    const count = went.length
    const same = formOf(went, came)
    const [best] = this.#find(went, start, same)
      .filter((at) => this.#isFree(at, count))
      .map((at) => this.#fit(at, count, change))
      .sort(better)
    if (!best || (!best.around && !isClear(went))) return null
    const [there] = came.length
      ? this.#find(came, start, same)
          .map((at) => this.#fit(at, came.length, change))
          .sort(better)
      : []
    if (there ? better(there, best) < 0 : best.around < 2 && this.has(change)) return null // it is done already
    const { at: from } = best
    return { from, to: from + count, pieces: inTheirPlace(words.slice(from, from + count), went, came) }
  }

  /** Whether no person and no other correction changed anything in these words. */
  #isFree(from: number, count: number): boolean {
    const { written, cut } = this.touched
    for (let at = from; at < from + count; at += 1)
      if (written.has(at) || (at > from && (cut.has(at) || this.#added.has(at)))) return false
    return true
  }

  /** How well words stand where they stood in the other version: by the words around them, then by their time. */
  #fit(at: number, count: number, { before, after, start }: Change): Fit {
    const { words } = this
    const isBehind = before !== undefined && words[at - 1]?.key === before.key
    const isBefore = after !== undefined && words[at + count]?.key === after.key
    return { at, around: Number(isBehind) + Number(isBefore), away: Math.abs(words[at]!.start - start) }
  }

  /** The gap between the words around what was put in. At the edge of a transcript one of them is enough. */
  #gapFor(change: Change) {
    const { came, before, after, start } = change
    const { words, touched } = this
    if (change.apart || this.has(change)) return null
    const around = [before, after].filter((word) => word !== undefined)
    const from = this.#find(around, around[0]?.start ?? start, sameWord)
      .map((at) => (before ? at + 1 : at))
      .find(
        (gap) =>
          !touched.cut.has(gap) &&
          !this.#added.has(gap) &&
          (!before || marksOf(words[gap - 1]!.text)[2] === marksOf(before.text)[2]) &&
          (!after || marksOf(words[gap]!.text)[0] === marksOf(after.text)[0]),
      )
    if (from === undefined) return null
    const behind = words[from]
    const leads = behind?.first && (!from || came[0]!.first) // the new words begin a line
    const { line } = leads ? behind : words[from - 1]!
    const pieces = came.map(({ raw, first }, nth) => ({ line, text: first && (nth || !leads) ? spaced(raw) : raw }))
    if (leads) pieces.push({ line, text: isUnspaced(behind.text[0]!) ? '' : ' ' })
    return { from, to: from, pieces }
  }
}
interface Fit {
  at: number
  around: number // so many of the two words beside it are the same
  away: number // seconds
}
const better = (one: Fit, other: Fit): number => other.around - one.around || one.away - other.away

const exactly = (one: TimedWord, other: TimedWord): boolean => one.text === other.text
const sameWord = (one: TimedWord, other: TimedWord): boolean => one.key === other.key

/** How words must be the same: a correction of case or marks alone is about exactly these. */
const formOf = (went: TimedWord[], came: TimedWord[]): typeof exactly =>
  went.map(({ key }) => key).join(' ') === came.map(({ key }) => key).join(' ') ? exactly : sameWord

/** Whether words are a place by themselves. One character of a script without spaces stands everywhere. */
const isClear = (words: TimedWord[]): boolean => words.length > 1 || [...words[0]!.key].length > 1
