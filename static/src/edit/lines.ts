// The lines of a transcript in order, to be changed one by one. The service has the same (editing/lines.py).
import type { Segment } from '../types.ts'

/** A line with all that edits need. Only `content` may be unknown: the API tells it with edits, not with transcripts. */
export type Line = Segment & Required<Pick<Segment, 'id' | 'version' | 'position' | 'held' | 'checked' | 'source'>>

const normal = new WeakMap<Segment, Line>()

/** A segment as the line that it is until somebody changes it. The same segment gives the same object. */
export function asLine(segment: Segment): Line {
  if (segment.id !== undefined && segment.version !== undefined && segment.position !== undefined)
    return segment as Line
  const known = normal.get(segment)
  if (known) return known
  const { chunk, index } = segment
  const plain = { version: 0, content: 0, held: false, checked: false, source: 'machine' }
  const line = { ...plain, id: `c${chunk}.${index}`, position: index, ...segment } as Line
  normal.set(segment, line)
  return line
}

/** The version that first had the text and the times of a line. Undefined: unknown. */
export const contentOf = ({ content, version }: Line): number | undefined => content ?? (version ? undefined : 0)

const order = (one: Line, other: Line): number =>
  one.chunk - other.chunk || one.position - other.position || (one.id < other.id ? -1 : Number(one.id > other.id))

const isSame = (one: Line, other: Line): boolean =>
  one === other || (Object.keys(one) as (keyof Line)[]).every((field) => one[field] === other[field])

export class LineList {
  readonly items: Line[]
  #byId: Map<string, Line>
  #before = new Map<string, Line | undefined>() // since `mark`: each line that was changed, as it was

  /** `lines` in order. */
  constructor(lines: readonly Segment[]) {
    this.items = lines.map(asLine)
    this.#byId = new Map(this.items.map((line) => [line.id, line]))
  }
  get(id: string): Line | undefined {
    return this.#byId.get(id)
  }
  /** The line `step` places behind (1) or before (-1). Undefined at the ends. */
  neighbour(line: Line, step: number): Line | undefined {
    return this.items[this.#indexOf(line) + step]
  }
  put(line: Line): void {
    const old = this.get(line.id)
    if (old && isSame(old, line)) return
    this.#note(line.id, old)
    if (old && order(old, line) === 0) this.items[this.#indexOf(old)] = line
    else {
      if (old) this.items.splice(this.#indexOf(old), 1)
      this.items.splice(this.#bound(line), 0, line)
    }
    this.#byId.set(line.id, line)
  }
  remove(id: string): void {
    const old = this.get(id)
    if (!old) return
    this.#note(id, old)
    this.items.splice(this.#indexOf(old), 1)
    this.#byId.delete(id)
  }
  /** A free position right behind a line, in its chunk. The lines of the chunk may move apart. */
  positionBehind(line: Line): number {
    const following = this.neighbour(line, 1)
    if (following?.chunk !== line.chunk) return line.position + 1
    const middle = (line.position + following.position) / 2
    if (line.position < middle && middle < following.position) return middle
    const chunk = this.items.filter((other) => other.chunk === line.chunk)
    chunk.forEach((other, position) => this.put({ ...other, position }))
    return this.get(line.id)!.position + 0.5
  }
  /** From now on `changes` tells what changes. */
  mark(): void {
    this.#before = new Map()
  }
  /** What changed since `mark`, in order: the lines as they are and as they were, and the IDs of those that are gone. */
  changes(): { lines: Line[]; before: Map<string, Line>; gone: string[] } {
    const lines: Line[] = []
    const before = new Map<string, Line>()
    const gone: string[] = []
    for (const [id, old] of this.#before) {
      const now = this.get(id)
      if (old && (!now || !isSame(old, now))) before.set(id, old)
      if (!now && old) gone.push(id)
      if (now && !(old && isSame(old, now))) lines.push(now)
    }
    return { lines: lines.sort(order), before, gone }
  }
  #note(id: string, old: Line | undefined): void {
    if (!this.#before.has(id)) this.#before.set(id, old)
  }
  /** Where a line is to stand. */
  #bound(line: Line): number {
    let low = 0
    let high = this.items.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (order(this.items[middle]!, line) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
  #indexOf(line: Line): number {
    const at = this.#bound(line)
    return this.items[at]?.id === line.id ? at : this.items.findIndex(({ id }) => id === line.id)
  }
}
