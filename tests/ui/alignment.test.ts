// Words get exact times by an edit of the service. Whoever is typing in the line notices nothing.
import { FakeService, JOB, openTab, type Tab } from './fake_service.ts'

const TEXTS = ['One two three four five', 'Four five six']
const wait = (ms: number) => vi.advanceTimersByTimeAsync(ms)

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

/** The service aligns the spread words of a line: the line keeps its version, and nothing undoes it. */
function align(service: FakeService, tab: Tab, id: string): void {
  const line = service.lines.find((other) => other.id === id)
  const words = line.words.map((word: any) =>
    word.by === 'spread' ? { ...word, start: word.start + 0.01, by: 'aligned' } : word,
  )
  const aligned = { ...line, words }
  service.lines = service.lines.map((other) => (other.id === id ? aligned : other))
  const number = service.edits.length + 1
  const result = { job_id: JOB, number, batch: `align-${number}`, client: '', lines: [aligned], gone: [] }
  service.edits.push({
    number,
    batch: result.batch,
    client: '',
    author: 'Alignment',
    inverse: [],
    operations: [],
    result,
  })
  tab.hears(result)
}
const kinds = (tab: Tab) => (tab.session.lines.value[0]!.words as any[]).map(({ by }) => by[0]).join('')

async function written(): Promise<[FakeService, Tab]> {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  tab.session.type('c0.0', 'One red green blue five')
  await wait(1_500)
  expect(kinds(tab)).toBe('msssm')
  return [service, tab]
}

it('shows the new times, and undo takes back what was typed before', async () => {
  const [service, tab] = await written()
  align(service, tab, 'c0.0')
  await wait(50)
  expect(kinds(tab)).toBe('maaam')
  expect(tab.session.state.value).toBe('saved')
  tab.session.undo()
  await wait(500)
  expect(service.texts[0]).toBe(TEXTS[0])
  expect(tab.texts).toEqual(service.texts)
})

it('merges what is typed meanwhile without a question', async () => {
  const [service, tab] = await written()
  tab.session.type('c0.0', 'One red green blue five six')
  align(service, tab, 'c0.0')
  await wait(100)
  expect(tab.texts[0]).toBe('One red green blue five six')
  await wait(1_500)
  expect(tab.session.conflicts.value).toEqual({})
  expect(service.texts[0]).toBe('One red green blue five six')
  expect(kinds(tab)).toBe('maaams')
  expect(service.requests.map(({ operations }) => operations[0].v)).toEqual([0, 1])
})

it('keeps what could not be sent while the words were aligned', async () => {
  const [service, tab] = await written()
  service.fault = () => 503
  tab.session.type('c0.0', 'One red green blue five six')
  await wait(3_000)
  align(service, tab, 'c0.0')
  service.fault = () => null
  await wait(10_000)
  expect([tab.session.state.value, tab.session.pending.value]).toEqual(['saved', 0])
  expect(service.texts[0]).toBe('One red green blue five six')
  expect(tab.session.lines.value).toEqual(service.lines)
})
