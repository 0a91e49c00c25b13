import { vi } from 'vitest'
vi.stubGlobal('document', { querySelector: () => null })
const { PeakParts } = await import('../../static/src/peak_parts.ts')

const asked: string[] = []
/** A service with a saw of so many pairs in each level. Fewer than 0: it has no such level. */
function service(pairs: { fine: number; coarse: number }): void {
  asked.length = 0
  vi.stubGlobal('fetch', async (address: string, { headers }: { headers: { Range: string } }) => {
    const level = address.includes('fine=true') ? 'fine' : 'coarse'
    asked.push(`${level} ${headers.Range}`)
    if (pairs[level] < 0) return { ok: false, status: 404 }
    const [from, to] = headers.Range.slice('bytes='.length).split('-').map(Number) as [number, number]
    if (from >= 2 * pairs[level]) return { ok: false, status: 416 }
    const length = Math.min(to + 1, 2 * pairs[level]) - from
    const data = Int8Array.from({ length }, (_, at) => (at % 2 ? 1 : -1) * (((from + at) >> 1) % 100))
    return { ok: true, status: 206, arrayBuffer: async () => data.buffer }
  })
}
const come = () => new Promise((done) => setTimeout(done))

it('fetches the parts that are looked at, and has a column for each stretch', async () => {
  service({ fine: 20_000, coarse: 5_000 })
  let changes = 0
  const parts = new PeakParts('a', () => (changes += 1))
  expect([...parts.columns(39.99, 0.005, 4)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]) // it has not come yet
  await come()
  expect(asked).toEqual(['fine bytes=0-15999', 'fine bytes=16000-31999'])
  expect([changes, parts.wasWhole]).toEqual([2, false])
  expect([...parts.columns(39.99, 0.005, 4)]).toEqual([-98, 98, -99, 99, 0, 0, -1, 1])
  expect(parts.wasWhole).toBe(true)
  expect([...parts.columns(0, 0.02, 2)]).toEqual([0, 0, 0, 0]) // the coarse level: not there yet
  await come()
  expect(asked.at(-1)).toBe('coarse bytes=0-15999')
  expect([...parts.columns(0.02, 0.04, 2)]).toEqual([-2, 2, -4, 4])
  expect(asked).toHaveLength(3)
})

it('takes the loudest of each stretch, also of narrow columns', async () => {
  service({ fine: 400, coarse: 100 })
  const parts = new PeakParts('a', () => undefined)
  parts.columns(0, 0.002, 1)
  await come()
  expect([...parts.columns(0.1, 0.0025, 4)].filter((_, at) => at % 2)).toEqual([20, 20, 21, 21])
  expect(parts.columns(0, 0.015, 3)[1]).toBe(2)
})

it('is content with the coarse level of recordings that have no other', async () => {
  service({ fine: -1, coarse: 100 })
  const parts = new PeakParts('a', () => undefined)
  expect(parts.levelFor(100)).toBe('fine')
  parts.columns(0, 0.005, 4)
  await come()
  expect(parts.levelFor(100)).toBe('coarse')
  parts.columns(0, 0.005, 4)
  await come()
  expect([...parts.columns(0.1, 0.01, 4)].filter((_, at) => at % 2)).toEqual([5, 5, 6, 6])
  expect(asked).toEqual(['fine bytes=0-15999', 'coarse bytes=0-15999'])
})

it('looks again for the rest of a waveform that grows, but not at once', async () => {
  service({ fine: 100, coarse: -1 })
  const now = vi.spyOn(performance, 'now').mockReturnValue(0)
  const parts = new PeakParts('a', () => undefined)
  parts.columns(0, 0.005, 1)
  await come()
  service({ fine: 1_000, coarse: -1 })
  parts.columns(0, 0.005, 1)
  expect(asked).toEqual([])
  now.mockReturnValue(6_000)
  expect(parts.columns(0.1, 0.005, 1)[1]).toBe(20) // what was there stays meanwhile
  await come()
  expect(asked).toEqual(['fine bytes=0-15999'])
  expect(parts.columns(4, 0.005, 200)[1 + 2 * 199]).toBe(99)
  now.mockRestore()
})

it('keeps no more than a megabyte', async () => {
  service({ fine: 8_000 * 100, coarse: -1 })
  const parts = new PeakParts('a', () => undefined)
  for (let at = 0; at < 100; at += 1) parts.columns(at * 40, 0.005, 1)
  await come()
  asked.length = 0
  parts.columns(99 * 40, 0.005, 1)
  parts.columns(0, 0.005, 1)
  expect(asked).toEqual(['fine bytes=0-15999'])
})
