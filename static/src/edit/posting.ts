// Sends changes to the service, one after the other, and again until it has them.
import { serviceUrl } from '../api.ts'
import type { EditResult, Problem } from '../types.ts'
import type { Change } from './changes.ts'

/** What became of a change. `later`: nobody knows; it is sent again. `unauthorized`: so it is, after a login. */
export type Reply =
  | { kind: 'done'; result: EditResult }
  | { kind: 'conflict'; problem: Problem }
  | { kind: 'refused' | 'gone'; problem: Problem }
  | { kind: 'later' | 'unauthorized' }

const ANSWER_MS = 20_000
const MOST_WAIT_S = 30
/** What a page that is left may still send, all requests together: browsers allow 64 KiB. */
export const LAST_BYTES = 60_000

function requestOf(change: Change, author: string): [path: string, body: string] {
  const { batch, tab: client, undoes, number } = change
  const path = `/api/jobs/${change.job}/edits`
  if (undoes) return [`${path}/${number}/undo`, JSON.stringify({ batch, client, author })]
  const operations = change.acts.map(({ operation }) => operation)
  return [path, JSON.stringify({ batch, client, author, operations })]
}

async function post(path: string, body: string, signal: AbortSignal | null): Promise<Reply> {
  try {
    const headers = { 'Content-Type': 'application/json' }
    const response = await fetch(serviceUrl(path), { method: 'POST', body, headers, signal, keepalive: !signal })
    return replyOf(response.status, await response.text())
  } catch {
    return { kind: 'later' }
  }
}

function replyOf(status: number, text: string): Reply {
  if (status === 401) return { kind: 'unauthorized' }
  if (status >= 500 || status === 408 || status === 429) return { kind: 'later' }
  if (status < 300) return { kind: 'done', result: JSON.parse(text) as EditResult } // a page of a proxy is no answer
  const problem = problemOf(status, text)
  if (status === 409) return { kind: 'conflict', problem }
  return { kind: status === 404 || status === 410 ? 'gone' : 'refused', problem }
}

/** What the service says, or, where a proxy refuses in its place, only the status. */
function problemOf(status: number, text: string): Problem {
  try {
    return JSON.parse(text) as Problem
  } catch {
    return { code: 'refused', message: `HTTP ${status}`, hint: '', params: {} }
  }
}

export class Postman {
  #running = false
  #failures = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  /**
   * `next` gives what is to be sent now, or null. `settle` is told what became of it; only then the next one goes.
   * `report` is told after each attempt.
   */
  constructor(
    private readonly next: () => Promise<Change | null>,
    private readonly settle: (change: Change, reply: Reply) => Promise<void>,
    private readonly report: (reply: Reply['kind']) => void,
    private readonly author: () => string,
  ) {}

  /** There is something to send. With `again`, a wait after a failure ends. */
  wake(again = false): void {
    if (this.#running || (this.#timer !== undefined && !again)) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    void this.#run()
  }
  async #run(): Promise<void> {
    this.#running = true
    try {
      for (let change = await this.next(); change; change = await this.next()) {
        const reply = await post(...requestOf(change, this.author()), AbortSignal.timeout(ANSWER_MS))
        this.report(reply.kind)
        if (reply.kind === 'later' || reply.kind === 'unauthorized') {
          const wait = Math.min(MOST_WAIT_S, 2 ** this.#failures++)
          this.#timer = setTimeout(() => this.wake(true), wait * 1000)
          return
        }
        this.#failures = 0
        await this.settle(change, reply)
      }
    } finally {
      this.#running = false
    }
  }
  /** Send what still can be while the page is left. Nobody may be there for the answers. */
  last(changes: Change[]): void {
    let left = LAST_BYTES
    for (const change of changes) {
      const [path, body] = requestOf(change, this.author())
      left -= new Blob([body]).size
      if (left < 0) return
      void post(path, body, null).then((reply) => {
        if (reply.kind === 'done') void this.settle(change, reply)
      })
    }
  }
}
