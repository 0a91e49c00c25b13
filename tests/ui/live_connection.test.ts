import { openConnection } from '../../static/src/live_connection.ts'
import type { Message } from '../../static/src/reducer.ts'

class Stream extends EventTarget {
  static all: Stream[] = []
  onerror: (() => void) | null = null
  closed = false
  constructor(readonly url: string) {
    super()
    Stream.all.push(this)
  }
  close() {
    this.closed = true
  }
  send(kind: string, data: unknown, id = '') {
    this.dispatchEvent(Object.assign(new Event(kind), { data: JSON.stringify(data), lastEventId: id }))
  }
}
const hello = { seq: 7, boot: 'a', ui_version: '1' }
let messages: Message[]
let close: () => void
const connections = () => messages.flatMap((message) => (message.type === 'connection' ? [message.connection] : []))
const newest = () => Stream.all.at(-1)!
const fetched = vi.fn(async () => ({ ok: true, json: async () => ({ seq: 20 }) }))

beforeEach(() => {
  vi.useFakeTimers()
  Stream.all = []
  messages = []
  fetched.mockClear()
  close = openConnection((message) => messages.push(message), { EventSource: Stream as any, fetch: fetched as any })
})
afterEach(() => {
  close()
  vi.useRealTimers()
})

it('is live after the hello of the service', () => {
  newest().send('hello', hello)
  expect(messages).toEqual([
    { type: 'connection', connection: 'live' },
    { type: 'hello', seq: 7, boot: 'a', ui: '1' },
  ])
})

it('continues after the last event', () => {
  newest().send('hello', hello)
  newest().send('update', { id: 'x' }, '9')
  newest().onerror!()
  vi.advanceTimersByTime(3_000)
  expect(newest().url).toBe('/api/events?since=9')
})

it('polls only after the second failure, and stops when the stream is back', async () => {
  newest().onerror!()
  expect(fetched).not.toHaveBeenCalled()
  vi.advanceTimersByTime(3_000)
  newest().onerror!()
  await vi.advanceTimersByTimeAsync(0)
  expect(connections()).toEqual(['reconnecting', 'polling'])
  vi.advanceTimersByTime(3_000)
  newest().send('hello', hello)
  const asked = fetched.mock.calls.length
  await vi.advanceTimersByTimeAsync(30_000)
  expect(fetched.mock.calls.length).toBe(asked)
  expect(connections().at(-1)).toBe('live')
})

it('counts a silent stream as a failure', () => {
  vi.advanceTimersByTime(8_000)
  expect(connections()).toEqual(['reconnecting'])
  expect(Stream.all[0]!.closed).toBe(true)
})

it('is offline when nothing answers', async () => {
  fetched.mockRejectedValue(new TypeError('no'))
  newest().onerror!()
  vi.advanceTimersByTime(3_000)
  newest().onerror!()
  await vi.advanceTimersByTimeAsync(0)
  expect(connections().at(-1)).toBe('offline')
})

it('reconnects when two heartbeats are missing, and not before', async () => {
  newest().send('hello', hello)
  vi.advanceTimersByTime(30_000)
  newest().send('ping', { seq: 7 })
  vi.advanceTimersByTime(34_000)
  expect(connections()).toEqual(['live'])
  vi.advanceTimersByTime(1_500)
  expect(connections()).toEqual(['live', 'reconnecting'])
  vi.advanceTimersByTime(3_000)
  newest().send('hello', hello)
  expect(connections().at(-1)).toBe('live')
})

it('waits as long for a heartbeat as the service says', () => {
  newest().send('hello', { ...hello, heartbeat_s: 40 })
  vi.advanceTimersByTime(84_000)
  expect(connections()).toEqual(['live'])
  vi.advanceTimersByTime(1_500)
  expect(connections()).toEqual(['live', 'reconnecting'])
})

it('gives up a poll that is never answered', async () => {
  newest().onerror!()
  vi.advanceTimersByTime(3_000)
  newest().onerror!()
  await vi.advanceTimersByTimeAsync(0)
  const [, options] = fetched.mock.calls.at(-1) as unknown as [string, RequestInit]
  expect(options.signal).toBeInstanceOf(AbortSignal)
})
