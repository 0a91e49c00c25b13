// What one person did in this tab, to be taken back and done again, also after a reload.

/** A place of the caret: a line and an offset in its text. */
export interface Place {
  id: string
  offset: number
}
/** What is taken back at once: one act, or what was typed without a pause. */
export interface Step {
  batches: string[]
  before: Place | null // where the caret stands after an undo, and
  after: Place | null // after a redo
  typed?: boolean // more may be typed right behind it
}
interface Stored {
  done: Step[]
  undone: Step[]
  numbers: [batch: string, number: number][] // of the edits that the service has made of batches
}

const MOST_STEPS = 500

export class Steps {
  done: Step[] = []
  undone: Step[] = []
  #numbers = new Map<string, number>()
  #key: string

  constructor(job: string) {
    this.#key = `undo ${job}`
    try {
      const { done, undone, numbers } = JSON.parse(sessionStorage.getItem(this.#key) ?? '') as Stored
      Object.assign(this, { done, undone })
      this.#numbers = new Map(numbers)
    } catch {
      // nothing is stored
    }
  }
  /** Something new was done: what was undone cannot be done again. */
  add(step: Step): void {
    this.done.push(step)
    this.undone = []
    this.save()
  }
  /** More was typed right behind the newest step. */
  extend(batch: string, after: Place): void {
    const step = this.done.at(-1)!
    Object.assign(step, { batches: [...step.batches, batch], after })
    this.undone = []
    this.save()
  }
  number(batch: string): number | undefined {
    return this.#numbers.get(batch)
  }
  /** The service has made an edit of a batch. */
  tell(batch: string, number: number): void {
    this.#numbers.set(batch, number)
    this.save()
  }
  /** A batch will never be an edit, or cannot be taken back. */
  forget(batch: string): void {
    for (const step of [...this.done, ...this.undone]) step.batches = step.batches.filter((other) => other !== batch)
    this.done = this.done.filter(({ batches }) => batches.length)
    this.undone = this.undone.filter(({ batches }) => batches.length)
    this.save()
  }
  save(): void {
    this.done.splice(0, this.done.length - MOST_STEPS)
    const { done, undone } = this
    const used = new Set([...done, ...undone].flatMap(({ batches }) => batches))
    for (const batch of this.#numbers.keys()) if (!used.has(batch)) this.#numbers.delete(batch)
    try {
      sessionStorage.setItem(this.#key, JSON.stringify({ done, undone, numbers: [...this.#numbers] } satisfies Stored))
    } catch {
      // it is full, or switched off: the steps live as long as this page
    }
  }
}
