// How a subtitle gets other times: it becomes a line of its own, which people timed. Pure.
import { lineId } from '../transcript_text.ts'
import type { ClientOperation, Segment } from '../types.ts'
import { newId } from './changes.ts'
import { characters } from './cutting.ts'
import type { Cue } from './cue.ts'

export interface Retimed {
  line: string // the ID of the line that the subtitle is then
  operations: ClientOperation[] // without versions: the session knows them
}

/**
 * The operations that give a subtitle times, in seconds. What it has of its first and last line is cut off, and its lines are
 * joined. Null: its lines are not there any more, or it would take no time.
 */
export function retimed({ parts }: Cue, lines: readonly Segment[], start: number, end: number): Retimed | null {
  const [from, to] = [Math.max(0, Math.round(start * 1000)), Math.round(end * 1000)]
  const texts = new Map(lines.map((line) => [lineId(line), line.text]))
  if (from >= to || !parts.length || parts.some(({ line }) => !texts.has(line))) return null
  const operations: ClientOperation[] = []
  const ids = parts.map(({ line, begin, end: stop }) => {
    const text = texts.get(line)!
    const lead = characters(text) - characters(text.trimStart())
    let id = line
    // The end first: what is cut off behind does not move what stands before.
    if (stop < characters(text.trim())) operations.push({ op: 'split', id, v: 0, at: lead + stop, new: newId() })
    if (begin > 0) {
      const made = newId()
      operations.push({ op: 'split', id, v: 0, at: lead + begin, new: made })
      id = made
    }
    return id
  })
  const [line] = ids as [string]
  if (ids.length > 1) operations.push({ op: 'merge', ids, v: ids.map(() => 0) })
  operations.push({ op: 'time', id: line, v: 0, start: from / 1000, end: to / 1000 })
  return { line, operations }
}
