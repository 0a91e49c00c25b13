import { vi } from 'vitest'
vi.stubGlobal('document', { querySelector: () => null })
const { Sender } = await import('../../static/src/live/sender.ts')
import type { Outcome, Store } from '../../static/src/live/sender.ts'
import type { Piece, Recording } from '../../static/src/live/outbox.ts'
import { Service } from './fake_live.ts'

const PIECE = 10 // bytes
function set(pieces: number, job: string | null = 'job', first = 0) {
  const service = new Service()
  vi.stubGlobal('fetch', service.fetch)
  const rows = new Map<number, Piece>()
  const add = (nth: number) =>
    rows.set(nth * PIECE, { at: nth * PIECE, data: new Uint8Array(PIECE).fill(nth + 1).buffer })
  for (let nth = first; nth < pieces; nth++) add(nth)
  const recording: Recording = {
    ...{ key: 'key', job, name: 'talk.wav', begun: 0, rate: 16_000, source: 'microphone', options: { language: 'en' } },
    stopped: true,
  }
  let removed = false
  const store: Store = {
    firstPieces: async (_, most) => [...rows.values()].sort((a, b) => a.at - b.at).slice(0, most),
    removePieces: async (_, before) => {
      for (const at of [...rows.keys()]) if (at < before) rows.delete(at)
    },
    putRecording: async () => undefined,
    removeRecording: async () => {
      removed = true
    },
  }
  const troubles: (string | null)[] = []
  const sender = new Sender(
    recording,
    first * PIECE,
    {
      acknowledged: () => undefined,
      trouble: (problem) => troubles.push(problem?.code ?? null),
      known: () => undefined,
    },
    store,
    0,
    [0],
  )
  return { service, rows, add, recording, sender, store, troubles, isRemoved: () => removed }
}
const whole = (pieces: number) => Array.from({ length: pieces * PIECE }, (_, at) => Math.floor(at / PIECE) + 1)

it('begins a session, sends all of it and ends it', async () => {
  const { service, sender, rows, recording, isRemoved } = set(7, null)
  expect(await sender.run()).toEqual({ job: 'job' })
  expect([...service.sound]).toEqual(whole(7))
  expect([recording.job, rows.size, service.ended, isRemoved()]).toEqual(['job', 0, 'client', true])
})

it.each([
  ['a request', ['lost', 'lost', undefined, 'lost']],
  ['an answer', ['answer lost', undefined, 'answer lost']],
  ['the service', [503, 500, 502, 429, 507]],
] as const)('loses nothing and doubles nothing when %s is lost', async (_, faults) => {
  const { service, sender, rows, troubles } = set(60)
  service.faults = [...faults]
  expect(await sender.run()).toEqual({ job: 'job' })
  expect([...service.sound]).toEqual(whole(60))
  expect(rows.size).toBe(0)
  expect(troubles[0]).not.toBe(null)
  expect(troubles.at(-1)).toBe(null)
})

it('begins one session when the answer is lost', async () => {
  const { service, sender } = set(3, null)
  service.faults = ['answer lost', 'answer lost']
  expect(await sender.run()).toEqual({ job: 'job' })
  expect(service.keys).toEqual(['key', 'key', 'key'])
})

it('goes on inside a piece of which the service has the beginning', async () => {
  const { service, sender } = set(3)
  service.sound = Uint8Array.from(whole(3)).slice(0, 14)
  await sender.run()
  expect([...service.sound]).toEqual(whole(3))
})

it('opens a session again that ended because nothing came', async () => {
  const { service, sender } = set(3)
  service.ended = 'silence'
  expect(await sender.run()).toEqual({ job: 'job' })
  expect([...service.sound]).toEqual(whole(3))
  expect(service.requests.filter((one) => one.endsWith('/resume'))).toHaveLength(1)
})

it.each([
  ['the session was cancelled', (service: Service) => void (service.ended = 'cancelled'), 'live_ended', 0],
  ['the service lost what came before', () => undefined, 'offset_ahead', 1],
  ['the service refuses it', (service: Service) => void (service.faults = [413]), 'code_413', 0],
] as const)('keeps what is left when %s', async (_, prepare, code, first) => {
  const { service, sender, rows, isRemoved } = set(3, 'job', first)
  prepare(service)
  const outcome = (await sender.run()) as Extract<Outcome, { problem: unknown }>
  expect(outcome.problem.code).toBe(code)
  expect([rows.size, isRemoved()]).toEqual([3 - first, false])
})

it('waits for more sound, and hears of it at any moment', async () => {
  const { service, sender, add, recording } = set(0)
  recording.stopped = false
  const running = sender.run()
  for (let nth = 0; nth < 20; nth++) {
    add(nth)
    sender.wake()
    if (nth % 3) await new Promise((done) => setTimeout(done, nth % 2))
  }
  recording.stopped = true
  sender.wake()
  expect(await running).toEqual({ job: 'job' })
  expect([...service.sound]).toEqual(whole(20))
})

it('leaves a recording to another one', async () => {
  const { sender, recording } = set(0)
  recording.stopped = false
  const running = sender.run()
  await new Promise((done) => setTimeout(done, 5))
  sender.close()
  expect(await running).toBe(null)
})

it.each([
  ['at any moment', 100, (now: number, _: number) => now + 1_000 - (now % 1_000)],
  ['at any moment', 300, (now: number, _: number) => now + 1_000 - (now % 1_000)],
  ['at any moment', 400, (now: number, _: number) => now + 1_000 - (now % 1_000)],
  ['a second after its first request', 300, (now: number, cutAt: number) => (now < cutAt ? cutAt : now + 1_000)],
  ['a second after its first request', 400, (now: number, cutAt: number) => (now < cutAt ? cutAt : now + 1_000)],
])('catches up over a line that is cut %s, with %i ms to the service and back', async (_, way, next) => {
  vi.useFakeTimers()
  const { service, add, rows, recording, store } = set(300)
  recording.stopped = false
  const PIECE_MS = 2 // on the line
  let cutAt = 0
  const later = (ms: number) => new Promise<void>((done) => setTimeout(done, ms))
  vi.stubGlobal('fetch', async (address: string, request: RequestInit) => {
    cutAt = next(Date.now(), cutAt)
    const left = cutAt - Date.now()
    const there = way + (((request.body as Uint8Array | undefined)?.length ?? 0) / PIECE) * PIECE_MS
    await later(Math.min(left, there))
    if (there >= left) throw new TypeError('cut')
    const answer = await service.fetch(address, request)
    await later(Math.min(left - there, way))
    if (there + way >= left) throw new TypeError('cut')
    return answer
  })
  const listener = { acknowledged: () => undefined, trouble: () => undefined, known: () => undefined }
  const patient = new Sender(recording, 0, listener, store)
  const running = patient.run()
  let nth = 300
  for (; nth < 900; nth++) {
    add(nth) // a tenth of a second of sound
    patient.wake()
    await vi.advanceTimersByTimeAsync(100)
  }
  expect(rows.size).toBeLessThan(150) // 300 at first, and the recording went on for a minute
  recording.stopped = true
  patient.wake()
  await vi.advanceTimersByTimeAsync(30_000)
  vi.useRealTimers()
  expect(await running).toEqual({ job: 'job' })
  expect([...service.sound]).toEqual(whole(nth).map((byte) => byte % 256))
})
