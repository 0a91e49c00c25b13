// The live connection: server-sent events, and slow polling while they do not arrive. Runs in the shared worker or in a tab.
import type { Message } from './reducer.ts'
import { ROOT } from './root.ts'

export interface Network {
  EventSource: typeof EventSource
  fetch: typeof fetch
}

const HELLO_MS = 8_000 // a proxy that holds the stream back answers 200 and then sends nothing
const SILENCE_MS = 35_000 // two heartbeats of the service (15 s each), and 5 s
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
        silenceTimer = setTimeout(reconnect, SILENCE_MS)
        const { data, lastEventId } = event as MessageEvent<string>
        if (lastEventId) seq = lastEventId
        emit(toMessage(JSON.parse(data), Number(lastEventId)))
      })
    on('hello', (data) => {
      clearInterval(pollTimer)
      pollTimer = undefined
      failures = 0
      if (seq === '') seq = String(data.seq)
      emit({ type: 'connection', connection: 'live' })
      return { type: 'hello', seq: data.seq, boot: data.boot, ui: data.ui_version }
    })
    on('ping', () => ({ type: 'ping' }))
    on('update', (job, id) => ({ type: 'update', seq: id, job }))
    on('segment', (data, id) => ({ type: 'segment', seq: id, id: data.job_id, segment: data.segment }))
    on('model', (model, id) => ({ type: 'model', seq: id, model }))
    on('deleted', (data, id) => ({ type: 'deleted', seq: id, id: data.id }))
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
