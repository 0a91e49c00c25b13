import { vi } from 'vitest'
vi.stubGlobal('document', { querySelector: () => null })
const { Sender } = await import('../../static/src/live/sender.ts')
import type { Outcome, Store } from '../../static/src/live/sender.ts'
import type { Piece, Recording } from '../../static/src/live/outbox.ts'

/** A service that follows the rules of live sessions. `faults` are taken one after the other, one for each request. */
class Service {
  sound = new Uint8Array(0)
  ended: string | null = null
  requests: string[] = []
  keys: string[] = [] // of the requests for a session
  faults: ('lost' | 'answer lost' | number | undefined)[] = []

  fetch = async (address: string, { method, body, headers }: RequestInit): Promise<Response> => {
    const offset = (headers as Record<string, string> | undefined)?.['Upload-Offset']
    this.requests.push([method, address, offset].filter((part) => part !== undefined).join(' '))
    const key = (headers as Record<string, string> | undefined)?.['Idempotency-Key']
    if (key !== undefined) this.keys.push(key)
    const fault = this.faults.shift()
    if (fault === 'lost') throw new TypeError('no network')
    const answer =
      typeof fault === 'number' ? this.say(fault, { code: `code_${fault}` }) : this.act(method!, address, offset, body)
    if (fault === 'answer lost') throw new TypeError('no network')
    return answer
  }
  private act(method: string, address: string, offset: string | undefined, body: unknown): Response {
    if (method === 'POST' && address.endsWith('/live')) return this.say(201, { id: 'job' })
    if (address.endsWith('/end')) {
      this.ended ??= 'client'
      return this.say(200, {})
    }
    if (address.endsWith('/resume')) {
      if (this.ended !== 'silence') return this.say(409, { code: 'live_ended' })
      this.ended = null
      return this.say(200, {})
    }
    if (this.ended) return this.say(409, { code: 'live_ended' })
    const from = Number(offset)
    if (from > this.sound.length) return this.say(409, { code: 'offset_ahead' })
    const piece = body as Uint8Array
    const length = Math.max(this.sound.length, from + piece.length)
    const next = new Uint8Array(length)
    next.set(piece, from)
    next.set(this.sound) // what is there stays as it is
    this.sound = next
    return this.say(204, null)
  }
  private say(status: number, value: unknown): Response {
    const headers = { 'Upload-Offset': String(this.sound.length) }
    return new Response(value === null ? null : JSON.stringify(value), { status, headers })
  }
}

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
  return { service, rows, add, recording, sender, troubles, isRemoved: () => removed }
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
