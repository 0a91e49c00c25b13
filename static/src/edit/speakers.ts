// Who speaks: which words of a line are whose, and what a speaker is called. Pure. The service has the same rules in
// `editing/speakers.py`; tests/ui/turns.json holds both to the same results.
import type { ClientOperation, Segment, Speaker, Timeline } from '../types.ts'

export type { Speaker }

/** From which word of a line on who speaks. Words before the first turn have no known speaker. */
export type Turn = readonly [word: number, speaker: string]

export type Resolve = (id: string) => string

type Spoken = Pick<Segment, 'start' | 'end' | 'speaker'> & { words: readonly { start: number; end: number }[] }

/** Follow merges to their end: the speaker that now has what was another's. */
export function resolver(speakers: readonly Speaker[]): Resolve {
  const into = new Map(speakers.map(({ id, merged_into }) => [id, merged_into]))
  return (id) => {
    let found = id
    for (let steps = into.size; steps > 0; steps -= 1) {
      const next = into.get(found)
      if (!next || !into.has(next)) break
      found = next
    }
    return found
  }
}

function speakerAt(timeline: Timeline, time: number): string | null {
  let low = 0
  let high = timeline.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (timeline[middle]![0] <= time) low = middle + 1
    else high = middle
  }
  return timeline[low - 1]?.[1] ?? null
}

const NOBODY: Turn[] = []

/** Whose the words of a line are. What a person chose for the line wins. Empty: nobody is known. */
export function turnsOf(line: Spoken, timeline: Timeline, resolve: Resolve = (id) => id): Turn[] {
  if (line.speaker) return [[0, resolve(line.speaker)]]
  if (!timeline.length) return NOBODY
  const starts = line.words.length ? line.words.map(({ start }) => start) : [line.start]
  const turns: Turn[] = []
  starts.forEach((start, word) => {
    const found = speakerAt(timeline, start)
    const id = found && resolve(found)
    if (id && turns.at(-1)?.[1] !== id) turns.push([word, id])
  })
  return turns
}

/** The speakers that are shown, in their order: those that were not merged into another. */
export const shownSpeakers = (speakers: readonly Speaker[]): Speaker[] =>
  speakers.filter(({ merged_into }) => !merged_into).sort((a, b) => a.position - b.position)

export interface Tally {
  lines: number
  seconds: number
}

/** How many lines each speaker has words in, and how long the words last. `turns` has those of each line. */
export function tallies(lines: readonly Spoken[], turns: readonly (readonly Turn[])[]): Map<string, Tally> {
  const found = new Map<string, Tally>()
  lines.forEach(({ start, end, words }, at) => {
    const here = new Set<string>()
    turns[at]!.forEach(([from, id], nth) => {
      const tally = found.get(id) ?? { lines: 0, seconds: 0 }
      found.set(id, tally)
      if (!here.has(id)) tally.lines += 1
      here.add(id)
      if (!words.length) tally.seconds += end - start
      for (const word of words.slice(from, turns[at]![nth + 1]?.[0])) tally.seconds += word.end - word.start
    })
  })
  return found
}

/** The first and the last speaker of a line. Null: nobody is known. */
const first = (turns: readonly Turn[]): string | null => turns[0]?.[1] ?? null
/** Whether one speaker has a whole line. */
const isWhole = (turns: readonly Turn[]): boolean => turns.length === 1 && turns[0]![0] === 0
const last = (turns: readonly Turn[]): string | null => turns.at(-1)?.[1] ?? null

/** Whether a line says who speaks: its speaker is not the one that spoke last, or another one speaks in the line. */
export const isChange = (turns: readonly (readonly Turn[])[], at: number): boolean =>
  turns[at]!.length > 1 || first(turns[at]!) !== (at ? last(turns[at - 1]!) : null)

/** The end of the lines from `at` on that one speaker has alone: the index behind the last of them. */
export function untilChange(turns: readonly (readonly Turn[])[], at: number): number {
  const who = first(turns[at]!)
  let end = at + 1
  if (who && !isWhole(turns[at]!)) return end
  while (end < turns.length && first(turns[end]!) === who && (!who || isWhole(turns[end]!))) end += 1
  return end
}

/** Where each turn of a line begins in its text, in UTF-16 units. A word that is not found ends the search. */
export function turnOffsets(text: string, words: readonly { word: string }[], turns: readonly Turn[]): number[] {
  const offsets: number[] = []
  let from = 0
  let nth = 0
  words.forEach(({ word }, index) => {
    const found = text.indexOf(word.trim(), from)
    if (found < 0) return
    if (turns[nth]?.[0] === index) {
      offsets.push(index ? found : 0)
      nth += 1
    }
    from = found + word.trim().length
  })
  return offsets
}

/** What stands in a coloured mark: the first letter of a name, or the number of a speaker without one. */
export function initialOf(name: string, number: number): string {
  const [letter] = name.trim()
  return letter ? letter.toLocaleUpperCase() : String(number)
}

/** A speaker as the page shows one. */
export interface Face {
  id: string
  name: string
  number: number // for keys, and for the name where nobody gave one
  initial: string
  slot: number // of the colours
  found: boolean // by the voice
  named: boolean
}

/** Who speaks in a line, where that has to be said. Equal ones have equal keys. */
export interface Head {
  key: string
  faces: Face[] // empty: nobody is known from here on
  /** Where others speak inside the line, in UTF-16 units: from, to, and the place of the speaker in `faces`. */
  parts: readonly (readonly [from: number, to: number, face: number])[]
}

export const COLOURS = 8

/** The speakers as they will be once operations are stored. Operations on lines change nothing here. */
export function afterOperations(
  speakers: readonly Speaker[],
  operations: readonly ClientOperation[],
): readonly Speaker[] {
  return operations.reduce<readonly Speaker[]>(afterOne, speakers)
}

function afterOne(speakers: readonly Speaker[], operation: ClientOperation): readonly Speaker[] {
  switch (operation.op) {
    case 'name_speaker':
      if (speakers.some(({ id }) => id === operation.id))
        return speakers.map((one) => (one.id === operation.id ? { ...one, name: operation.name.trim() } : one))
      return [...speakers, newSpeaker(speakers, operation.id, operation.name.trim())]
    case 'join_speakers':
      return speakers.map((one) => (one.id === operation.id ? { ...one, merged_into: operation.into } : one))
    case 'remove_speaker':
      return speakers.filter(({ id }) => id !== operation.id)
    default:
      return speakers
  }
}

function newSpeaker(speakers: readonly Speaker[], id: string, name: string): Speaker {
  const position = 1 + Math.max(-1, ...speakers.map((one) => one.position))
  return { id, name, position, colour: position % COLOURS, merged_into: null, found: false }
}
