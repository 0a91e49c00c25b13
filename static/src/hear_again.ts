// A part of a recording is transcribed again: a short job of the same recording, whose text is proposed and not yet used.
import { newId } from './edit/changes.ts'
import type { Part } from './jobs.ts'
import type { ClientOperation, Job, Segment } from './types.ts'
import { lineId } from './transcript_text.ts'

const PAD_S = 0.3 // of sound around the lines, if there is a pause

/** What is heard again for some lines that follow each other: they, and a little of the pauses around them. */
export function partOf(lines: readonly Segment[], first: number, last: number): Part {
  const begin = Math.max(lines[first - 1]?.end ?? 0, lines[first]!.start - PAD_S)
  const end = Math.min(lines[last + 1]?.start ?? Infinity, lines[last]!.end + PAD_S)
  return { begin: Math.min(begin, lines[first]!.start), end: Math.max(end, lines[last]!.end) }
}

/** The jobs that propose another text for a part of a transcript, in order of time. */
export const proposalsFor = (id: string, jobs: Iterable<Job>): Job[] =>
  [...jobs]
    .filter((job) => job.of === id && job.options.end_s !== null && job.status !== 'cancelled')
    .sort((a, b) => a.options.begin_s! - b.options.begin_s! || (a.id < b.id ? -1 : 1))

/** The lines that lie in a part for the most of their time. They follow each other. */
export function linesIn(lines: readonly Segment[], { begin, end }: Part): Segment[] {
  const inside = ({ start, end: stop }: Segment) => {
    const middle = (start + stop) / 2
    return middle >= begin && middle <= end
  }
  const first = lines.findIndex(inside)
  return first < 0 ? [] : lines.slice(first, lines.findLastIndex(inside) + 1)
}

/** The operation that puts what was heard in the place of lines. */
export const useHeard = (old: readonly Segment[], heard: readonly Segment[], model: string): ClientOperation => ({
  op: 'heard',
  ids: old.map(lineId),
  v: old.map(({ version }) => version ?? 0),
  model,
  lines: heard.map(({ start, end, text, words, language }) => ({
    id: newId(),
    start,
    end,
    text: text.trim(),
    words: words.map(({ start: from, end: to, word, probability }) => ({ start: from, end: to, word, probability })),
    language,
  })),
})
