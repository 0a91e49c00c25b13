import { vi } from 'vitest'
vi.stubGlobal('document', { querySelector: () => null })
const { Sender } = await import('../../static/src/live/sender.ts')
import type { Piece, Recording } from '../../static/src/live/outbox.ts'
import { Service } from './fake_live.ts'

const PIECE_MS = 100
const PIECE_BYTES = 8
const MINUTE = 600 // pieces
const STEP_MS = 10
const turn = setImmediate // the real one: blobs are read by it

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], now: 0 })
})
afterEach(() => {
  vi.useRealTimers()
})

async function pass(ms: number): Promise<void> {
  for (let at = 0; at < ms; at += STEP_MS) {
    await vi.advanceTimersByTimeAsync(STEP_MS)
    await new Promise((done) => turn(done))
  }
}

/** A line to the service: each way takes `way_ms`. Every `cut_ms` it is cut, and what is on its way then is lost. */
function line(service: Service, way_ms: number, cut_ms = Infinity) {
  const until = (ms: number) => new Promise<void>((done) => setTimeout(done, ms - Date.now()))
  return async (address: string, request: RequestInit): Promise<Response> => {
    const begun = Date.now()
    const cut = cut_ms * (1 + Math.floor(begun / cut_ms))
    const arrives = begun + way_ms
    await until(Math.min(arrives, cut))
    if (arrives > cut) throw new TypeError('cut on the way there')
    const answer = await service.fetch(address, request)
    await until(Math.min(arrives + way_ms, cut))
    if (arrives + way_ms > cut) throw new TypeError('cut on the way back')
    return answer
  }
}

it.each([
  ['cuts the line every two seconds', 150, 2_000],
  ['delays everything by three seconds', 3_000, Infinity],
])('loses nothing of a minute when a relay %s, and knows what waits', async (_, way_ms, cut_ms) => {
  const service = new Service()
  vi.stubGlobal('fetch', line(service, way_ms, cut_ms))
  const rows = new Map<number, Piece>()
  const recording: Recording = {
    ...{ key: 'key', job: null, name: 'talk.wav', begun: 0, rate: 40, source: 'microphone', options: {} },
    stopped: false,
  }
  let acknowledged = 0
  const troubles: (string | null)[] = []
  const sender = new Sender(
    recording,
    0,
    {
      acknowledged: (bytes) => (acknowledged = bytes),
      trouble: (problem) => troubles.push(problem?.code ?? null),
      known: () => undefined,
    },
    {
      firstPieces: async (__, most) => [...rows.values()].sort((a, b) => a.at - b.at).slice(0, most),
      removePieces: async (__, before) => {
        for (const at of [...rows.keys()]) if (at < before) rows.delete(at)
      },
      putRecording: async () => undefined,
      removeRecording: async () => undefined,
    },
  )
  const running = sender.run()
  const waiting: number[] = [] // bytes, after each piece
  for (let nth = 0; nth < MINUTE; nth++) {
    rows.set(nth * PIECE_BYTES, { at: nth * PIECE_BYTES, data: new Uint8Array(PIECE_BYTES).fill(nth % 251).buffer })
    sender.wake()
    await pass(PIECE_MS)
    const captured = (nth + 1) * PIECE_BYTES
    waiting.push(captured - acknowledged)
    expect(acknowledged).toBeLessThanOrEqual(service.sound.length) // only what the service has counts as sent
    const kept = [...rows.values()].reduce((sum, { data }) => sum + data.byteLength, 0)
    expect(kept).toBeGreaterThanOrEqual(captured - service.sound.length) // and the rest is still here
  }
  const most = Math.max(...waiting.slice(MINUTE / 2)) / PIECE_BYTES
  expect(most * PIECE_MS).toBeGreaterThanOrEqual(2 * way_ms) // what an answer takes waits at least
  expect(most * PIECE_MS).toBeLessThan(20_000) // and it does not grow with the recording
  if (cut_ms < Infinity) expect(troubles).toContain('unreachable')
  recording.stopped = true
  sender.wake()
  await pass(30_000)
  expect(await running).toEqual({ job: 'job' })
  const whole = Array.from({ length: MINUTE * PIECE_BYTES }, (__, at) => Math.floor(at / PIECE_BYTES) % 251)
  expect([...service.sound]).toEqual(whole)
  expect([acknowledged, rows.size, service.ended]).toEqual([whole.length, 0, 'client'])
})
