// The changes of this tab that the service does not have yet, in their order, and the lines with all of them.
import { ref, shallowRef } from 'vue'
import { state as page } from '../store.ts'
import type { Segment } from '../types.ts'
import { changedBy, madeBy, newId, type Change } from './changes.ts'
import { store } from './outbox.ts'
import { hold } from './recovery.ts'
import { fold, type Clash, type Inverses, type View } from './rebase.ts'

/** Of more changes it is not known what undoes them: they are undone when the service answers. */
const MOST_INVERSES = 600

export class Queue {
  changes: Change[] = []
  /** Lines that are gone, and the new ones that have what was typed into them. */
  readonly moved = new Map<string, string>()
  /** New lines that have what was typed into one that somebody deleted: the person is told until it is noticed. */
  readonly kept = new Map<string, Clash>()
  /** Of those, which the person has noticed. */
  readonly noticed = new Set<string>()
  readonly view = shallowRef<View>({ lines: [], changes: new Map(), clashes: new Map(), moved: new Map() })
  /** How many changes the service does not have. */
  readonly pending = ref(0)
  /** This browser stores nothing: changes live as long as this tab. */
  readonly memory = ref(false)
  composing: string | null = null
  #said: readonly Segment[] = []
  #loaded = false
  readonly #inverses: Inverses = new Map()
  readonly #answered = new Map<string, number>() // batches that the service has, but not yet the lines of this tab

  constructor(readonly job: string) {}

  /** The transcript has come. Of a deleted one it is known what it was. */
  get loaded(): boolean {
    this.#loaded ||= page.value.texts[this.job] !== undefined && page.value.edits[this.job] !== undefined
    return this.#loaded
  }
  /** The number of the newest edit in the lines of the service. */
  get edits(): number {
    return page.value.edits[this.job] ?? 0
  }
  /** Show all changes on the lines as the service says them. */
  refresh(): void {
    if (page.value.texts[this.job]) this.#said = page.value.texts[this.job]! // of a deleted job: as it was
    this.view.value = fold(this.#said, this.changes, this.#inverses, this.composing)
    for (const batch of this.#inverses.keys()) {
      if (this.#inverses.size <= MOST_INVERSES) break
      if (!this.find(batch)) this.#inverses.delete(batch) // the oldest
    }
    this.count()
  }
  count(): void {
    this.pending.value = this.changes.length - this.#answered.size
    hold(this.job, this.pending.value > 0)
  }
  find(batch: string): Change | undefined {
    return this.changes.find((change) => change.batch === batch)
  }
  isHeld(batch: string): boolean {
    return this.find(batch)?.problem !== undefined || Boolean(this.view.value.changes.get(batch)?.held.length)
  }
  /** Changes that no service has and no decision waits for. */
  add(...changes: Change[]): void {
    this.changes.push(...changes)
    void this.keep(changes)
    this.refresh()
  }
  remove(...batches: string[]): void {
    this.changes = this.changes.filter(({ batch }) => !batches.includes(batch))
    void this.keep([], batches)
    this.refresh()
  }
  async keep(changes: Change[], gone: string[] = []): Promise<void> {
    this.memory.value = !(await store(changes, gone))
  }
  /** The service has a batch as an edit. It stays in the queue until the lines have it as well. */
  acknowledge(batch: string, number: number): void {
    if (!this.find(batch)) return
    this.#answered.set(batch, number)
    const undoing = this.changes.filter(({ undoes }) => undoes === batch)
    for (const change of undoing) change.number = number
    void this.keep(undoing, [batch])
    this.settle()
  }
  /** Take out what the lines have. */
  settle(): void {
    const there = [...this.#answered].filter(([, number]) => number <= this.edits).map(([batch]) => batch)
    for (const batch of there) this.#answered.delete(batch)
    if (there.length) this.changes = this.changes.filter(({ batch }) => !there.includes(batch))
    this.refresh()
  }
  /** The changes that may be sent now, in order. Of those that do nothing any more, `forget` is told. */
  sendable(forget: (batch: string) => void): Change[] {
    if (!this.loaded) return []
    return [...this.changes].filter((change) => {
      const { batch, undoes } = change
      if (change.open || change.problem || this.#answered.has(batch)) return false
      if (undoes ? change.number !== undefined : change.tried || this.#prepare(change)) return true
      if (undoes ? !this.find(undoes) : !this.isHeld(batch)) forget(batch)
      return false
    })
  }
  /** Write into a change what it does now. What waits for a decision becomes a change of its own. False: all of it waits. */
  #prepare(change: Change): boolean {
    const { ready, held } = this.view.value.changes.get(change.batch) ?? { ready: [], held: [] }
    if (!ready.length) return false
    const touched = [change]
    if (held.length) {
      const rest = { ...change, batch: newId(), acts: held }
      this.changes.splice(this.changes.indexOf(change) + 1, 0, rest)
      touched.push(rest)
    }
    change.acts = ready
    const made = ready.flatMap(({ operation }) => madeBy(operation))
    for (const [old, id] of this.view.value.moved) if (made.includes(id)) touched.push(...this.#move(old, id, change))
    void this.keep(touched)
    if (touched.length > 1) this.refresh()
    return true
  }
  /** What was typed into a line that is gone is a new line for good. Returns the later changes that name it. */
  #move(old: string, id: string, change: Change): Change[] {
    this.moved.set(old, id)
    const clash = this.view.value.clashes.get(id)
    if (clash) this.kept.set(id, clash)
    const later = this.changes.slice(this.changes.indexOf(change) + 1)
    return later.filter((other) => {
      const names = other.acts.some(({ operation }) => changedBy(operation).includes(old))
      if (names)
        other.acts = other.acts.map(({ operation, base }) => ({
          operation: 'id' in operation && operation.id === old ? { ...operation, id } : operation,
          base,
        }))
      return names
    })
  }
  /** Take back what was typed into a line and waits for a decision. Returns the batches of which nothing is left. */
  withdraw(id: string): string[] {
    const { changes, moved } = this.view.value
    const empty: string[] = []
    for (const change of this.changes) {
      const rebased = changes.get(change.batch)
      const without = change.acts.filter(({ operation }) => {
        const isOf = operation.op === 'text' && (operation.id === id || moved.get(operation.id) === id)
        return !isOf || (!rebased?.held.some((act) => act.operation === operation) && moved.get(operation.id) !== id)
      })
      if (without.length === change.acts.length) continue
      change.acts = without
      if (without.length) void this.keep([change])
      else empty.push(change.batch)
    }
    this.remove(...empty)
    return empty
  }
}
