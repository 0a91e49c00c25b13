// One live link: server-sent events, and slow polling only while they do not get through. Runs in the shared worker or in a tab.
import type { Message } from './reducer.ts'
import { ROOT } from './root.ts'

export interface Wires { EventSource: typeof EventSource; fetch: typeof fetch }

const HELLO_MS = 8_000 // a proxy that holds the stream back answers 200 and then says nothing
const RETRY_MS = 3_000
const POLL_MS = 5_000

/** Tells everything by `emit` until the function it returns is called. */
export function openLink(emit: (message: Message) => void, wires: Wires = { EventSource, fetch: fetch.bind(globalThis) }): () => void {
  let source: EventSource | undefined
  let seq = ''
  let failures = 0
  let closed = false
  let retry: ReturnType<typeof setTimeout> | undefined
  let hello: ReturnType<typeof setTimeout> | undefined
  let polling: ReturnType<typeof setInterval> | undefined

  async function poll(): Promise<void> {
    try {
      const answer = await wires.fetch(`${ROOT}/api/state?limit=200`, { cache: 'no-store' })
      if (!answer.ok) throw new TypeError(answer.statusText)
      const snapshot = await answer.json()
      if (closed || polling === undefined) return
      seq = String(snapshot.seq)
      emit({ type: 'snapshot', snapshot })
      emit({ type: 'link', link: 'polling' })
    } catch {
      if (!closed && polling !== undefined) emit({ type: 'link', link: 'offline' })
    }
  }

  function lost(): void {
    clearTimeout(hello)
    failures += 1
    if (failures === 1) emit({ type: 'link', link: 'reconnecting' })
    if (failures >= 2 && polling === undefined) {
      polling = setInterval(() => void poll(), POLL_MS)
      void poll()
    }
    // The browser comes back by itself after a cut, but not after a refusal; one way for both keeps one clock.
    source?.close()
    clearTimeout(retry)
    retry = setTimeout(connect, RETRY_MS)
  }

  function connect(): void {
    const stream = new wires.EventSource(`${ROOT}/api/events${seq === '' ? '' : `?since=${seq}`}`)
    source = stream
    hello = setTimeout(lost, HELLO_MS)
    stream.onerror = lost
    const on = (kind: string, make: (data: any, id: number) => Message) =>
      stream.addEventListener(kind, (event) => {
        if (closed || stream !== source) return
        const { data, lastEventId } = event as MessageEvent<string>
        if (lastEventId) seq = lastEventId
        emit(make(JSON.parse(data), Number(lastEventId)))
      })
    on('hello', (data) => {
      clearTimeout(hello)
      clearInterval(polling)
      polling = undefined
      failures = 0
      if (seq === '') seq = String(data.seq)
      emit({ type: 'link', link: 'live' })
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
    clearTimeout(retry)
    clearTimeout(hello)
    clearInterval(polling)
  }
}
