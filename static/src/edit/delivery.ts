// Brings the changes of a queue to the service, and what became of them back.
import { computed, ref, type ComputedRef } from 'vue'
import { preferences } from '../preferences.ts'
import type { Message } from '../reducer.ts'
import { dispatch, fetchTranscript, listen, state as page } from '../store.ts'
import type { Problem } from '../types.ts'
import { madeBy, namedBy, type Change } from './changes.ts'
import { Postman, type Reply } from './posting.ts'
import type { Queue } from './queue.ts'

export type SaveState = 'saved' | 'saving' | 'unsent' | 'memory' | 'login'

/** What a session does when something comes from the service. */
export interface Receiver {
  /** Lines vanish from the transcript. */
  vanish(ids: string[]): void
  /** A batch is an edit now. */
  made(batch: string, number: number): void
  /** An act without a text is refused, as an undo of lines that were changed since. */
  refused(change: Change, problem: Problem): void
  /** A batch has nothing to do any more. */
  empty(batch: string): void
  changed(): void
}

const CATCH_UP_MS = 2_000 // this long the event of an edit may take; then the transcript is fetched
const LOOK_MS = 50
const MOST_STRIKES = 5 // refused so often though the page knows the newest lines: it cannot be sent

export class Delivery {
  /** Why the service does not take the newest of the changes that it refuses. */
  readonly problem: ComputedRef<Problem | null>
  readonly state: ComputedRef<SaveState>
  readonly #postman: Postman
  readonly #strikes = new Map<string, number>()
  readonly #stop: () => void

  constructor(
    private readonly queue: Queue,
    private readonly receiver: Receiver,
  ) {
    const last = ref<Reply['kind']>('done')
    const report = (kind: Reply['kind']) => {
      last.value = kind
    }
    this.#postman = new Postman(
      () => this.#next(),
      (change, reply) => this.#settle(change, reply),
      report,
      () => preferences.author,
    )
    this.#stop = listen((message) => this.#hear(message))
    this.problem = computed(() => (queue.view.value, queue.changes.findLast(({ problem }) => problem)?.problem ?? null))
    this.state = computed(() => {
      if (!queue.pending.value) return 'saved'
      if (last.value === 'unauthorized') return 'login'
      if (queue.memory.value) return 'memory'
      return last.value === 'later' ? 'unsent' : 'saving'
    })
  }

  /** Something may be sent. With `again`, the wait after a failure ends. */
  wake(again = false): void {
    this.#postman.wake(again)
  }
  /** The page is left: send what can be sent. What depends on another change waits: that one may be refused. */
  last(): void {
    const named = new Set<string>()
    const changes = this.queue
      .sendable((batch) => this.receiver.empty(batch))
      .filter((change, nth) => {
        const names = change.acts.flatMap(({ operation }) => [...namedBy(operation), ...madeBy(operation)])
        const isFirst = change.undoes ? nth === 0 : !names.some((id) => named.has(id))
        for (const id of names) named.add(id)
        return isFirst
      })
    for (const change of changes) change.tried = true
    void this.queue.keep(changes)
    this.#postman.last(changes)
  }
  stop(): void {
    this.#stop()
  }

  #hear(message: Message): void {
    const { queue, receiver } = this
    if (message.type === 'edit' && message.edit.job_id === queue.job) {
      const { batch, number, gone } = message.edit
      if (gone.length) receiver.vanish(gone)
      if (queue.find(batch)) this.#acknowledge(batch, number)
      this.#revive('bad_edit')
    } else if ((message.type === 'transcript' || message.type === 'segment') && message.id === queue.job)
      this.#revive('bad_edit')
    else if (message.type === 'connection' && message.connection === 'live') this.wake(true)
    else if (message.type === 'update' && message.job.id === queue.job) this.#revive('not_found')
    else return
    receiver.changed()
  }
  /** Lines changed, or a deleted transcript is back: what was refused may be taken now. */
  #revive(code: 'bad_edit' | 'not_found'): void {
    const waiting = this.queue.changes.filter(
      ({ problem }) => problem?.code === code && problem.params?.reason !== 'too_long',
    )
    for (const change of waiting) delete change.problem
    this.queue.settle()
    if (waiting.length && code === 'not_found') void fetchTranscript(this.queue.job)
  }
  #acknowledge(batch: string, number: number): void {
    this.receiver.made(batch, number)
    this.queue.acknowledge(batch, number)
  }
  async #next(): Promise<Change | null> {
    const [change] = this.queue.sendable((batch) => this.receiver.empty(batch))
    if (!change) return null
    if (!change.tried) {
      change.tried = true
      await this.queue.keep([change]) // a tab that dies now leaves it to others, who must not send anything else for it
    }
    return change
  }
  async #settle(change: Change, reply: Reply): Promise<void> {
    const { queue } = this
    if (reply.kind === 'done') {
      const { result } = reply
      // An event of before may still be on its way: then the lines of this edit wait for its own event.
      if (result.number === queue.edits + 1) dispatch({ type: 'edit', seq: page.value.seq, edit: result })
      if (queue.find(change.batch)) this.#acknowledge(change.batch, result.number)
      setTimeout(() => {
        if (queue.edits < result.number) void fetchTranscript(queue.job)
      }, CATCH_UP_MS)
    } else if (reply.kind === 'conflict') await this.#conflict(change, reply.problem, MOST_STRIKES)
    else if (reply.kind === 'refused')
      await this.#conflict(change, reply.problem, 1) // perhaps only other lines moved
    else if (reply.kind === 'gone') this.#refuse(change, reply.problem)
    this.receiver.changed()
  }
  /** A change does not fit to the newest lines. With those it may. */
  async #conflict(change: Change, problem: Problem, most: number): Promise<void> {
    const { queue } = this
    if (change.undoes) return this.#refuse(change, problem)
    change.tried = false
    const number = Number(problem.params?.number ?? 0)
    const strikes = (this.#strikes.get(change.batch) ?? 0) + 1
    this.#strikes.set(change.batch, strikes)
    if (strikes > most) return this.#refuse(change, problem)
    const end = strikes > 1 || most === 1 ? 0 : Date.now() + CATCH_UP_MS
    while (queue.edits < number && Date.now() < end) await new Promise((done) => setTimeout(done, LOOK_MS))
    if (queue.edits < number || strikes > 1 || most === 1) await fetchTranscript(queue.job)
    queue.refresh()
  }
  #refuse(change: Change, problem: Problem): void {
    const isText = change.acts.some(({ operation }) => 'text' in operation)
    if (!isText && problem.code !== 'not_found') return this.receiver.refused(change, problem)
    change.problem = problem
    void this.queue.keep([change])
    this.queue.refresh()
  }
}
