// Places in a text: which segment and word sound at a time, and where a phrase occurs.
import type { Segment } from './types.ts'

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
export function find(segments: readonly Segment[], phrase: string): { segment: number; from: number; to: number }[] {
  const wanted = phrase.trim().toLocaleLowerCase()
  if (!wanted) return []
  return segments.flatMap(({ text }, segment) => {
    const hay = text.trim().toLocaleLowerCase()
    const found = []
    for (let from = hay.indexOf(wanted); from >= 0; from = hay.indexOf(wanted, from + wanted.length)) found.push({ segment, from, to: from + wanted.length })
    return found
  })
}
