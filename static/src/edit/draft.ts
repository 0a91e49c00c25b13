// What is being typed into a line. It is stored while it is typed, and becomes a change that is sent after a pause.
import { clean } from './apply.ts'
import { baseOf, type Act, type Base, type Change } from './changes.ts'
import { LineList } from './lines.ts'
import type { Queue } from './queue.ts'
import type { Place } from './undo.ts'

/** What was typed without a longer pause. `goesOn`: right behind what was typed before, in the same line. */
export interface Typed {
  batch: string
  before: Place // where the caret stands when it is taken back
  after: Place
  goesOn: boolean
}

const PAUSE_MS = 700 // without a key: then it is sent
const STEP_MS = 1_000 // a longer pause begins a new step of undo
const STORE_MS = 200 // it is stored this soon

export class Draft {
  #change: Change | null = null
  #text = ''
  #last = { line: '', at: 0 } // the last key
  #goesOn = false
  #pause: ReturnType<typeof setTimeout> | undefined
  #storing: ReturnType<typeof setTimeout> | undefined
  readonly #gone = new Map<string, Base>() // lines that vanished while they were shown

  constructor(
    private readonly queue: Queue,
    private readonly make: (acts: Act[]) => Change,
    private readonly done: (typed: Typed) => void,
  ) {}

  get open(): boolean {
    return this.#change !== null
  }
  get line(): string | null {
    const [act] = this.#change?.acts ?? []
    return act?.operation.op === 'text' ? act.operation.id : null
  }
  /** A line vanishes: somebody may still have its text before the eyes and type. */
  remember(ids: string[]): void {
    const lines = new LineList(this.queue.view.value.lines)
    for (const id of ids) {
      const base = baseOf(lines, id)
      if (base) this.#gone.set(id, base)
    }
  }
  type(id: string, text: string): void {
    if (this.line !== id) this.close()
    const now = Date.now()
    if (!this.#change) {
      const act = this.#begin(id)
      if (!act) return
      this.#goesOn = this.#last.line === id && now - this.#last.at < STEP_MS
      this.#change = this.make([act])
      this.#change.open = true
      this.queue.changes.push(this.#change)
      this.queue.count()
    }
    this.#last = { line: id, at: now }
    this.#text = text
    const [{ operation, base }] = this.#change.acts as [Act]
    this.#change.acts = [{ operation: { ...operation, text } as Act['operation'], base }]
    this.#storing ??= setTimeout(() => this.#store(), STORE_MS)
    this.wait()
  }
  #begin(id: string): Act | null {
    // A text that the service refused is typed anew: what is typed now takes its place.
    const refused = this.queue.changes.find(({ acts: [act, ...more], problem }) => {
      return problem && act?.operation.op === 'text' && act.operation.id === id && !more.length
    })
    if (refused) {
      this.queue.remove(refused.batch)
      return refused.acts[0]!
    }
    const lines = new LineList(this.queue.view.value.lines)
    const base = baseOf(lines, id) ?? this.#gone.get(id)
    return base ? { operation: { op: 'text', id, v: lines.get(id)?.version ?? 0, text: '' }, base } : null
  }
  #store(): void {
    clearTimeout(this.#storing)
    this.#storing = undefined
    if (this.#change) void this.queue.keep([this.#change])
  }
  /** Wait for a pause. A line that is empty is deleted only when it is left. */
  wait(): void {
    clearTimeout(this.#pause)
    this.#pause = setTimeout(() => this.closeIfFull(), PAUSE_MS)
  }
  closeIfFull(): void {
    if (clean(this.#text)) this.close()
  }
  /** Make a change of what was typed. While an input method composes nothing happens. */
  close(): void {
    const change = this.#change
    if (!change || this.queue.composing !== null) return
    clearTimeout(this.#pause)
    clearTimeout(this.#storing)
    this.#storing = undefined
    this.#change = null
    change.open = false
    const [act] = change.acts as [Act]
    const before = act.base!.text
    if (clean(this.#text) === before.trim()) return this.queue.remove(change.batch)
    void this.queue.keep([change])
    const [from, to] = changedEnds(before, this.#text)
    const { line: id } = this.#last
    this.done({
      batch: change.batch,
      before: { id, offset: from },
      after: { id, offset: to },
      goesOn: this.#goesOn,
    })
  }
}

/** Where the change of a text ends, in the text before and after it. */
function changedEnds(before: string, after: string): [number, number] {
  const shorter = Math.min(before.length, after.length)
  let same = 0
  while (same < shorter && before.at(-1 - same) === after.at(-1 - same)) same += 1
  return [before.length - same, after.length - same]
}
