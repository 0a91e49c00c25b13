// Sends a recording to its session, piece by piece, for as long as it takes. What the service acknowledged is forgotten here.
import { pageProblem, serviceUrl } from '../api.ts'
import type { Job, Problem } from '../types.ts'
import * as outbox from './outbox.ts'
import { SAMPLE_BYTES, type Piece, type Recording } from './outbox.ts'

/** What a sender uses of the outbox. */
export type Store = Pick<typeof outbox, 'firstPieces' | 'removePieces' | 'putRecording' | 'removeRecording'>

/** What a sender tells. */
export interface Listener {
  acknowledged(bytes: number): void // on the disk of the service
  trouble(problem: Problem | null): void // nothing leaves, and the sender keeps trying. Null: all is well
  known(recording: Recording): void // the service has a job for it
}

/** How it ended. A problem: the service takes no more, what is left stays in this browser. */
export type Outcome = { job: string } | { problem: Problem }

const PACE_MS = 250 // between two pieces: each is synced to a disk
/** The first try follows at once: on a line that is cut again and again only the first request has its answer in time. */
const RETRY_MS = [100, 500, 1_000, 2_000, 3_000]
const ANSWER_MS = 20_000
const MOST_PIECES = 100 // of a tenth of a second, in one request
const FEWEST_PIECES = 4
const PIECE_TYPE = 'application/offset+octet-stream'
/** Refusals that another try may not meet. A login that ended is begun again in another tab. */
const PASSING = [0, 401, 408, 423, 425, 429]

interface Reply {
  status: number
  offset: number | null
  value: unknown
}

export class Sender {
  sent: number // bytes that the service acknowledged
  private most = MOST_PIECES / 4
  private failures = 0
  private closed = false
  private waiting: { waiting: string; done: () => void } | null = null
  private rung = false // there was a call of `wake` since the store was last read

  constructor(
    readonly recording: Recording,
    from: number, // bytes before the first piece in store
    private readonly listener: Listener,
    private readonly store: Store = outbox,
    private readonly pace = PACE_MS,
    private readonly retry: readonly number[] = RETRY_MS,
  ) {
    this.sent = from
  }

  /** There is more sound, or the recording was stopped. */
  wake(): void {
    this.rung = true
    if (this.waiting?.waiting === 'sound') this.waiting.done()
  }

  /** Try again now: the service may be back. */
  hurry(): void {
    if (this.waiting?.waiting === 'retry') this.waiting.done()
  }

  /** Leave the recording to another sender. `run` returns null. */
  close(): void {
    this.closed = true
    this.waiting?.done()
  }

  /** Send until the recording is stopped and all of it is sent, or until the service takes no more. */
  async run(): Promise<Outcome | null> {
    for (;;) {
      if (this.closed) return null
      const outcome = await this.step().catch((error: unknown) => {
        console.debug('a step failed', error) // of the store: the next one reads again
        return this.retryLater(pageProblem('browser_store'))
      })
      if (outcome) return outcome
    }
  }

  private async step(): Promise<Outcome | void> {
    if (!this.recording.job) return this.begin()
    const pieces = await this.store.firstPieces(this.recording.key, this.most)
    if (pieces.length) return this.send(this.recording.job, pieces)
    if (this.recording.stopped) return this.end(this.recording.job)
    await this.rest('sound')
  }

  private async begin(): Promise<Outcome | void> {
    const { name, rate, source, options } = this.recording
    const body = JSON.stringify({ ...options, name, rate, source })
    // the key: a lost answer leaves no second, empty session
    const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': this.recording.key }
    const reply = await ask('POST', '/api/live', body, headers)
    if (reply.status !== 201) return this.refused(reply)
    this.recording.job = (reply.value as Job).id
    await this.store.putRecording(this.recording)
    this.well()
    this.listener.known(this.recording)
  }

  private async send(job: string, pieces: readonly Piece[]): Promise<Outcome | void> {
    const begun = Date.now()
    const first = pieces[0]!.at
    const from = Math.max(first, this.sent)
    const whole = new Uint8Array(await new Blob(pieces.map(({ data }) => data)).arrayBuffer())
    // What the service has of it already is passed over. Asking first would cost a line that is cut its one answer.
    const headers = { 'Content-Type': PIECE_TYPE, 'Upload-Offset': String(from) }
    const reply = await ask('PATCH', `/api/live/${job}`, whole.subarray(from - first), headers)
    // A slow line takes less at a time. Less than half would be too much: where every other request is cut, it would not grow.
    if (reply.status === 0) this.most = Math.max(FEWEST_PIECES, Math.floor(this.most / 1.5))
    const code = reply.status === 409 ? (reply.value as Problem | null)?.code : ''
    const isTaken = reply.status === 204 || (code === 'offset_ahead' && (reply.offset ?? -1) >= first)
    if (!isTaken || reply.offset === null) {
      const open = code === 'live_ended' && (await this.reopened(job))
      return open ? undefined : this.refused(reply)
    }
    if (reply.status === 204) this.most = Math.min(MOST_PIECES, 2 * this.most)
    this.sent = reply.offset
    const open = pieces.find(({ at, data }) => at + data.byteLength > this.sent) // sent in part, or not at all
    await this.store.removePieces(this.recording.key, open ? open.at : this.sent)
    this.well()
    this.listener.acknowledged(this.sent)
    if (!this.recording.stopped && pieces.length < this.most) await this.rest('pace', begun + this.pace - Date.now())
  }

  /** Open a session again that the service ended because nothing came for a while. */
  private async reopened(job: string): Promise<boolean> {
    return (await ask('POST', `/api/live/${job}/resume`)).status === 200
  }

  private async end(job: string): Promise<Outcome | void> {
    const reply = await ask('POST', `/api/live/${job}/end`)
    if (reply.status !== 200 && reply.status !== 404) return this.refused(reply)
    await this.store.removeRecording(this.recording.key)
    return { job }
  }

  private async refused({ status, value }: Reply): Promise<Outcome | void> {
    const problem = (value as Problem | null) ?? pageProblem('unreachable')
    if (status < 500 && !PASSING.includes(status)) return { problem }
    await this.retryLater(problem)
  }

  private async retryLater(problem: Problem): Promise<void> {
    this.listener.trouble(problem)
    await this.rest('retry', this.retry[Math.min(this.failures++, this.retry.length - 1)]!)
  }

  private well(): void {
    this.failures = 0
    this.listener.trouble(null)
  }

  /** Wait for so many milliseconds, or until what is waited for has come. It may have come already. */
  private async rest(waiting: 'sound' | 'retry' | 'pace', ms = Infinity): Promise<void> {
    if (waiting !== 'sound' || !this.rung) {
      let timer: ReturnType<typeof setTimeout> | undefined
      await new Promise<void>((done) => {
        this.waiting = { waiting, done }
        if (ms !== Infinity) timer = setTimeout(done, ms)
      })
      clearTimeout(timer)
      this.waiting = null
    }
    if (waiting === 'sound') this.rung = false
  }
}

/** A request whose failure is an answer too: status 0. */
async function ask(method: string, path: string, body?: BodyInit, headers?: HeadersInit): Promise<Reply> {
  try {
    const signal = AbortSignal.timeout(ANSWER_MS)
    const response = await fetch(serviceUrl(path), { method, body, headers, signal })
    const told = response.headers.get('Upload-Offset')
    const text = await response.text()
    const value = text ? (JSON.parse(text) as unknown) : null
    return { status: response.status, offset: told === null ? null : Number(told), value }
  } catch {
    return { status: 0, offset: null, value: null }
  }
}

/** What the service has of a session. Null: nobody knows now. */
export async function statusOf(job: string): Promise<{ offset: number; ended: boolean } | null> {
  const { status, offset } = await ask('HEAD', `/api/live/${job}`)
  if (status === 200 || status === 410 || status === 404) return { offset: offset ?? 0, ended: status !== 200 }
  return null
}

export const seconds = (bytes: number, { rate }: Pick<Recording, 'rate'>): number => bytes / SAMPLE_BYTES / rate
