// The words of a transcript in one row, each with its time and its line. Pure.
import type { Segment } from '../types.ts'
import { lineId } from '../transcript_text.ts'
import { splitWords, wordKey } from './words.ts'

export interface TimedWord {
  raw: string // with the spaces before it
  text: string // without them
  key: string // what makes it the same word: see `wordKey`
  start: number // in seconds
  line: string
  first: boolean // of its line
}

export function timedWords(lines: readonly Segment[]): TimedWord[] {
  return lines.flatMap((line) => {
    const id = lineId(line)
    const text = line.text.trim()
    const startAt = starts(line, text)
    let at = 0
    return splitWords(text).map((raw, nth) => {
      const begin = at + raw.length - raw.trimStart().length
      at += raw.length
      return { raw, text: raw.trim(), key: wordKey(raw), start: startAt(begin), line: id, first: nth === 0 }
    })
  })
}

/** When a character of a line is spoken, by its offset. Offsets ascend. Without times of words they are spread evenly. */
function starts(line: Segment, text: string): (offset: number) => number {
  const ends: { end: number; start: number }[] = []
  let from = 0
  for (const { word, start } of line.words) {
    const found = text.indexOf(word.trim(), from)
    if (found < 0) break
    from = found + word.trim().length
    ends.push({ end: from, start })
  }
  let next = 0
  return (offset) => {
    while (next < ends.length && ends[next]!.end <= offset) next += 1
    return ends[next]?.start ?? line.start + ((line.end - line.start) * offset) / (text.length || 1)
  }
}
