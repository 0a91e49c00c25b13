import { vi } from 'vitest'
import type { Segment } from '../../static/src/types.ts'

class Source {
  static all: Source[] = []
  onerror: () => void = () => undefined
  closed = false
  private hears = new Map<string, (event: object) => void>()
  constructor(readonly url: string) {
    Source.all.push(this)
  }
  addEventListener(kind: string, hear: (event: object) => void): void {
    this.hears.set(kind, hear)
  }
  close(): void {
    this.closed = true
  }
  send(kind: string, data: object): void {
    this.hears.get(kind)!({ data: JSON.stringify(data) })
  }
}
vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined })
vi.stubGlobal('document', { documentElement: {}, createElement: () => ({}), title: '' })
vi.stubGlobal('navigator', { languages: ['en'] })
const { openDrafts, textOf } = await import('../../static/src/live/drafts.ts')
type Draft = NonNullable<Parameters<typeof textOf>[0]>

const words = (text: string, from: number) =>
  text
    .split(/(?= )/)
    .filter(Boolean)
    .map((word, nth) => ({ start: from + nth, end: from + nth + 1, word }))
const draft = (stable: string, tentative: string, from = 10): Draft => ({
  stable: words(stable, from),
  tentative: words(tentative, from + words(stable, 0).length),
})
const line = (end: number) => ({ start: 0, end }) as Segment

it('reads the words that stay and those that may change', () => {
  expect(textOf(draft(' Hello dear', ' wor'), [])).toEqual({ stable: ' Hello dear', tentative: ' wor', start: 10 })
  expect(textOf(draft('', ' wor'), [])).toEqual({ stable: '', tentative: ' wor', start: 10 })
  expect(textOf(draft('', ''), [])).toEqual({ stable: '', tentative: '', start: Infinity })
  expect(textOf(null, [line(3)])).toEqual({ stable: '', tentative: '', start: Infinity })
})

it('shows no word of a draft that a line has by now', () => {
  const now = draft(' one two three', ' four', 10)
  expect(textOf(now, [line(5), line(11.4)])).toEqual({ stable: ' two three', tentative: ' four', start: 11 })
  expect(textOf(now, [line(11.6)]).stable).toBe(' three')
  expect(textOf(now, [line(99)])).toEqual({ stable: '', tentative: '', start: Infinity })
})

describe('the connection', () => {
  beforeEach(() => {
    vi.useFakeTimers()
    Source.all = []
  })
  afterEach(() => vi.useRealTimers())
  const opened = () => {
    const seen: unknown[] = []
    const close = openDrafts('job', (now) => seen.push(now), Source as unknown as typeof EventSource)
    return { seen, close, source: () => Source.all.at(-1)! }
  }

  it('passes each draft on, and none after the end', () => {
    const { seen, source } = opened()
    expect(source().url).toMatch(/\/api\/live\/job\/drafts$/)
    source().send('draft', draft(' a', ' b'))
    source().send('end', {})
    expect(seen).toEqual([draft(' a', ' b'), null])
    expect(source().closed).toBe(true)
    vi.advanceTimersByTime(60_000)
    expect(Source.all.length).toBe(1)
  })

  it('comes back after a cut and after a refusal, once each', () => {
    const { seen, source } = opened()
    source().onerror()
    source().onerror() // some browsers say it twice
    expect(source().closed).toBe(true)
    vi.advanceTimersByTime(3_000)
    expect(Source.all.length).toBe(2)
    source().send('draft', draft(' c', ''))
    expect(seen).toEqual([draft(' c', '')])
  })

  it('is closed for good', () => {
    const { close, source } = opened()
    source().onerror()
    close()
    vi.advanceTimersByTime(60_000)
    expect(Source.all.length).toBe(1)
    expect(source().closed).toBe(true)
  })
})
