// Places in a text: which segment and word sound at a time, and where a phrase occurs.
import type { Gap, Segment, Word } from './types.ts'

export interface Hit { segment: number; from: number; to: number }

/** Index of the last item that starts at or before `time`, or -1. */
export function at(items: readonly { start: number }[], time: number): number {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (items[middle]!.start <= time) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Character range of the word that sounds at `time` within the text of its segment, or null. */
export function wordRange(segment: Segment, time: number): [number, number] | null {
  const text = segment.text.trim()
  const index = at(segment.words, time)
  if (index < 0 || time > segment.words[index]!.end + 0.3) return null
  let from = 0
  for (let i = 0; i <= index; i += 1) {
    const word = segment.words[i]!.word.trim()
    const found = text.indexOf(word, from)
    if (found < 0) return null
    if (i === index) return [found, found + word.length]
    from = found + word.length
  }
  return null
}

/** Every place of `phrase`, whatever the case: index of the segment and the character range. */
export function find(segments: readonly Segment[], phrase: string): Hit[] {
  const wanted = phrase.trim().toLocaleLowerCase()
  if (!wanted) return []
  return segments.flatMap(({ text }, segment) => {
    const hay = text.trim().toLocaleLowerCase()
    const found = []
    for (let from = hay.indexOf(wanted); from >= 0; from = hay.indexOf(wanted, from + wanted.length)) found.push({ segment, from, to: from + wanted.length })
    return found
  })
}

/** The word at a place in the text of its segment (`offset` in UTF-16 units, as the browser counts), or null. */
export function wordAt(segment: Segment, offset: number): Word | null {
  const text = segment.text.trim()
  let from = 0
  for (const word of segment.words) {
    const found = text.indexOf(word.word.trim(), from)
    if (found < 0) return null
    from = found + word.word.trim().length
    if (offset < from) return word
  }
  return segment.words.at(-1) ?? null
}

export interface Row { key: string; index: number; line?: Segment; gap?: Gap }

/** Lines and gaps in the order of their times; `index` is that of the line. */
export function rows(lines: readonly Segment[], gaps: readonly Gap[]): Row[] {
  const holes = [...gaps].sort((a, b) => a.start - b.start)
  const made: Row[] = []
  const fill = (until: number, index: number) => {
    for (let gap = holes[0]; gap && gap.start < until; gap = holes[0]) {
      made.push({ key: `gap ${gap.start}`, index, gap })
      holes.shift()
    }
  }
  lines.forEach((line, index) => {
    fill(line.start, index)
    made.push({ key: `${line.chunk}.${line.index}`, index, line })
  })
  fill(Infinity, lines.length)
  return made
}

const BLOCK = 25

/** The rows in blocks: those of `before` where nothing has changed. */
export function blocks(made: Row[], before: Row[][] = []): Row[][] {
  return Array.from({ length: Math.ceil(made.length / BLOCK) }, (_, nth) => {
    const block = made.slice(BLOCK * nth, BLOCK * (nth + 1))
    const old = before[nth]
    const same = (row: Row, at: number) => row.line === old![at]!.line && row.gap === old![at]!.gap && row.index === old![at]!.index
    return old?.length === block.length && block.every(same) ? old : block
  })
}

/** Seconds of a place written as in a link: `#t=31:20`, `#t=1:14:02.5`, `#t=80`; null if it is none. */
export function placeOf(hash: string): number | null {
  const found = /^#t=((?:\d+:){0,2}\d+(?:\.\d+)?)$/.exec(hash)
  return found ? found[1]!.split(':').reduce((sum, part) => 60 * sum + Number(part), 0) : null
}
