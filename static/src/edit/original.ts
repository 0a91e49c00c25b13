// What the model wrote, before people edited the text.
import { request } from '../api.ts'
import type { Segment, Transcript } from '../types.ts'
import { hunks } from './difference.ts'
import { splitWords, wordKey } from './words.ts'

/** Fetch the text of a job as the model wrote it. Null: the service does not answer. */
export async function fetchOriginal(id: string): Promise<Segment[] | null> {
  const answer = await request<Transcript>('GET', `/api/jobs/${id}/transcript?version=machine`)
  return answer.ok ? answer.value.segments : null
}

const TOUCH_S = 0.05 // lines that overlap by less only touch

/** What the model wrote where a line is now. */
export function originalOf({ start, end }: Segment, original: readonly Segment[]): string {
  const there = original.filter((one) => Math.min(end, one.end) - Math.max(start, one.start) > TOUCH_S)
  return there.map(({ text }) => text.trim()).join(' ')
}

/** The stretches of the original lines that read otherwise now: line, from, to, in UTF-16 units. */
export function differences(original: readonly Segment[], now: readonly Segment[]): [number, number, number][] {
  const found: [number, number, number][] = []
  let from = 0 // both lists ascend
  original.forEach((line, index) => {
    while (from < now.length && now[from]!.end <= line.start) from += 1
    let to = from
    while (to < now.length && now[to]!.start < line.end) to += 1
    const there = now.slice(from, to)
    const text = line.text.trim()
    const words = splitWords(text)
    const ends = words.map(
      (
        (at) => (word: string) =>
          (at += word.length)
      )(0),
    )
    const current = splitWords(there.map((one) => one.text.trim()).join(' '))
    if (there.length === 1 && there[0]!.text.trim() === text) return
    for (const { first, last } of hunks(words.map(wordKey), current.map(wordKey)))
      if (last > first) found.push([index, (ends[first - 1] ?? 0) + leading(words[first]!), ends[last - 1]!])
  })
  return found
}
const leading = (word: string): number => word.length - word.trimStart().length
