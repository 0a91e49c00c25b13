// The changes of this tab that the service does not have yet, in their order, and the lines with all of them.
import { ref, shallowRef } from 'vue'
import { state as page } from '../store.ts'
import type { Segment } from '../types.ts'
import { newId, type Change } from './changes.ts'
import { store } from './outbox.ts'
import { fold, type Clash, type Inverses, type View } from './rebase.ts'

const NOTHING: readonly Segment[] = []

export class Queue {
  changes: Change[] = []
  /** The lines that are gone, and the new ones that have what was typed into them. */
  moved = new Map<string, string>()
  /** New lines that have what was typed into one that somebody deleted. */
  kept = new Map<string, Clash>()
  readonly view = shallowRef<View>({ lines: [], changes: new Map(), clashes: new Map(), moved: new Map() })
  /** How many changes the service does not have. */
  readonly pending = ref(0)
  /** This browser stores nothing: changes live as long as this tab. */
  readonly memory = ref(false)
  composing: string | null = null
  #inverses: Inverses = new Map()
  #answered = new Map<string, number>() // batches that the service has, but not yet the lines of this tab

  constructor(readonly job: string) {}

  /** The lines as the service said them. */
  get said(): readonly Segment[] {
    return page.value.texts[this.job] ?? NOTHING
  }
  /** The number of the newest edit in `said`. Undefined: the transcript has not come yet. */
  get edits(): number | undefined {
    return page.value.edits[this.job]
  }
  refresh(): void {
    this.view.value = fold(this.said, this.changes, this.#inverses, this.composing)
    this.count()
  }
  count(): void {
    this.pending.value = this.changes.filter(({ batch }) => !this.#answered.has(batch)).length
  }
  add(change: Change): void {
    this.changes.push(change)
    void this.keep([change])
    this.refresh()
  }
  remove(batches: string[]): void {
    this.changes = this.changes.filter(({ batch }) => !batches.includes(batch))
    void this.keep([], batches)
  }
  async keep(changes: Change[], gone: string[] = []): Promise<void> {
    this.memory.value = !(await store(changes, gone))
  }
  find(batch: string): Change | undefined {
    return this.changes.find((change) => change.batch === batch)
  }
  isHeld(batch: string): boolean {
    return this.find(batch)?.problem !== undefined || Boolean(this.view.value.changes.get(batch)?.held.length)
  }
  /** The service has a batch as an edit. It is in the queue until the lines have it as well. */
  acknowledge(batch: string, number: number): void {
    for (const change of this.changes)
      if (change.undoes === batch && change.number === undefined) {
        change.number = number
        void this.keep([change])
      }
    this.#answered.set(batch, number)
    void this.keep([], [batch])
    this.settle()
  }
  /** Take out what the lines have. */
  settle(): void {
    const has = this.edits ?? 0
    const there = [...this.#answered].filter(([, number]) => number <= has).map(([batch]) => batch)
    for (const batch of there) this.#answered.delete(batch)
    this.changes = this.changes.filter(({ batch }) => !there.includes(batch))
    this.refresh()
  }
  /** Changes that may be sent now, in order, with the versions that their lines have now. */
  sendable(forget: (batch: string) => void = () => undefined): Change[] {
    if (this.edits === undefined) return []
    const found: Change[] = []
    for (const change of [...this.changes]) {
      if (change.open || change.problem || this.#answered.has(change.batch)) continue
      if (change.undoes) {
        if (change.number !== undefined) found.push(change)
        else if (!this.find(change.undoes)) forget(change.batch)
      } else if (change.tried || this.#prepare(change)) found.push(change)
      else if (!this.isHeld(change.batch)) forget(change.batch)
    }
    return found
  }
  /** Write into a change what it does now. What waits for a decision becomes a change of its own. False: all of it waits. */
  #prepare(change: Change): boolean {
    const { ready, bases, held } = this.view.value.changes.get(change.batch) ?? { ready: [], bases: {}, held: [] }
    if (!ready.length) return false
    const touched = [change]
    if (held.length) {
      const rest = { ...change, batch: newId(), operations: held }
      this.changes.splice(this.changes.indexOf(change) + 1, 0, rest)
      touched.push(rest)
    }
    Object.assign(change, { operations: ready, bases })
    for (const [old, id] of this.view.value.moved) {
      if (!ready.some((operation) => 'new' in operation && operation.new === id)) continue
      this.moved.set(old, id)
      this.kept.set(id, this.view.value.clashes.get(id)!)
      for (const later of this.changes.slice(this.changes.indexOf(change) + 1)) {
        if (!later.bases[old]) continue
        later.bases[id] = later.bases[old]
        later.operations = later.operations.map((one) => ('id' in one && one.id === old ? { ...one, id } : one))
        touched.push(later)
      }
    }
    void this.keep(touched)
    if (touched.length > 1) this.refresh()
    return true
  }
}
