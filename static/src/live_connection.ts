// The live connection: server-sent events, and slow polling while they do not arrive. Runs in the shared worker or in a tab.
import type { Message } from './reducer.ts'
import { ROOT } from './root.ts'

export interface Network {
  EventSource: typeof EventSource
  fetch: typeof fetch
}

const HELLO_MS = 8_000 // a proxy that holds the stream back answers 200 and then sends nothing
const HEARTBEAT_S = 15 // of a service that does not tell its own
const SPARE_MS = 5_000
const RETRY_MS = 3_000
const POLL_MS = 5_000
const ANSWER_MS = 4_500 // a frozen service takes a request and never answers

/** Pass every message to `emit` until the returned function is called. */
export function openConnection(
  emit: (message: Message) => void,
  network: Network = { EventSource, fetch: fetch.bind(globalThis) },
): () => void {
  let source: EventSource | undefined
  let seq = ''
  let failures = 0
  let silence = 2_000 * HEARTBEAT_S + SPARE_MS // milliseconds without a word after which the connection counts as cut
  let closed = false
  let retryTimer: ReturnType<typeof setTimeout> | undefined
  let silenceTimer: ReturnType<typeof setTimeout> | undefined // until the next event is overdue
  let pollTimer: ReturnType<typeof setInterval> | undefined

  async function poll(): Promise<void> {
    try {
      const response = await network.fetch(`${ROOT}/api/state?limit=200`, {
        cache: 'no-store',
        signal: AbortSignal.timeout(ANSWER_MS),
      })
      if (!response.ok) throw new TypeError(response.statusText)
      const snapshot = await response.json()
      if (closed || pollTimer === undefined) return
      seq = String(snapshot.seq)
      emit({ type: 'snapshot', snapshot })
      emit({ type: 'connection', connection: 'polling' })
    } catch {
      if (!closed && pollTimer !== undefined) emit({ type: 'connection', connection: 'offline' })
    }
  }

  function reconnect(): void {
    clearTimeout(silenceTimer)
    failures += 1
    if (failures === 1) emit({ type: 'connection', connection: 'reconnecting' })
    if (failures >= 2 && pollTimer === undefined) {
      pollTimer = setInterval(() => void poll(), POLL_MS)
      void poll()
    }
    // A browser comes back by itself after a cut, but not after a refusal. Here both take the same way.
    source?.close()
    clearTimeout(retryTimer)
    retryTimer = setTimeout(connect, RETRY_MS)
  }

  function connect(): void {
    const stream = new network.EventSource(`${ROOT}/api/events${seq === '' ? '' : `?since=${seq}`}`)
    source = stream
    clearTimeout(silenceTimer)
    silenceTimer = setTimeout(reconnect, HELLO_MS)
    stream.onerror = reconnect
    const on = (kind: string, toMessage: (data: any, id: number) => Message) =>
      stream.addEventListener(kind, (event) => {
        if (closed || stream !== source) return
        clearTimeout(silenceTimer)
        const { data, lastEventId } = event as MessageEvent<string>
        if (lastEventId) seq = lastEventId
        const message = toMessage(JSON.parse(data), Number(lastEventId)) // the hello says how long a silence may be
        silenceTimer = setTimeout(reconnect, silence)
        emit(message)
      })
    on('hello', (data) => {
      clearInterval(pollTimer)
      pollTimer = undefined
      failures = 0
      if (data.heartbeat_s > 0) silence = 2_000 * data.heartbeat_s + SPARE_MS
      if (seq === '') seq = String(data.seq)
      emit({ type: 'connection', connection: 'live' })
      return { type: 'hello', seq: data.seq, boot: data.boot, ui: data.ui_version }
    })
    on('ping', () => ({ type: 'ping' }))
    on('update', (job, id) => ({ type: 'update', seq: id, job }))
    on('segment', (data, id) => ({ type: 'segment', seq: id, id: data.job_id, segment: data.segment }))
    on('edit', (edit, id) => ({ type: 'edit', seq: id, edit }))
    on('speakers', ({ job_id, speakers, timeline_changed }, id) => ({
      type: 'speakers',
      seq: id,
      id: job_id,
      speakers,
      timeline_changed,
    }))
    on('model', (model, id) => ({ type: 'model', seq: id, model }))
    on('deleted', (data, id) => ({ type: 'deleted', seq: id, id: data.id }))
    on('settings', (_, id) => ({ type: 'settings', seq: id }))
    on('reset', () => ({ type: 'reset' }))
  }

  connect()
  return () => {
    closed = true
    source?.close()
    clearTimeout(retryTimer)
    clearTimeout(silenceTimer)
    clearInterval(pollTimer)
  }
}
