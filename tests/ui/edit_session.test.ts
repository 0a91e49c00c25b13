// The session of an editor: what is typed is shown at once, sent once, merged, and never lost.
import { apply } from '../../static/src/edit/apply.ts'
import { LineList } from '../../static/src/edit/lines.ts'
import { Browser, FakeService, openTab, type Tab } from './fake_service.ts'

const TEXTS = ['One two three', 'Four five six', 'Seven eight', 'Nine ten']
const wait = (ms: number) => vi.advanceTimersByTimeAsync(ms)

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

async function type(tab: Tab, id: string, text: string): Promise<void> {
  tab.session.type(id, text)
  await wait(1_500)
}

it('sends what was typed after a pause, as one edit', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  for (const text of ['One 2', 'One 2 thr', 'One 2 three']) {
    tab.session.type('c0.0', text)
    await wait(100)
  }
  expect(tab.session.state.value).toBe('saving')
  expect(service.requests).toEqual([])
  await wait(1_000)
  expect(service.texts[0]).toBe('One 2 three')
  expect(service.requests.map(({ operations }) => operations)).toEqual([
    [{ op: 'text', id: 'c0.0', v: 0, text: 'One 2 three' }],
  ])
  expect([tab.session.state.value, tab.session.pending.value]).toEqual(['saved', 0])
  expect(tab.texts).toEqual(service.texts)
})

it('shows an act at once', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  tab.session.type('c0.0', 'One 2 three')
  expect(tab.session.perform([{ op: 'split', id: 'c0.0', v: 0, at: 5, new: 'n1' }])).toBe(true)
  expect(tab.texts.slice(0, 2)).toEqual(['One 2', 'three'])
  expect(tab.session.perform([{ op: 'split', id: 'c0.1', v: 0, at: 99, new: 'n2' }])).toBe(false)
  await wait(200)
  expect(service.texts.slice(0, 3)).toEqual(['One 2', 'three', 'Four five six'])
  expect(tab.session.lines.value).toEqual(service.lines)
})

it('makes an edit once whose answer was lost', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  service.deaf.add(tab)
  let lost = 0
  service.fault = () => (lost++ < 2 ? 'answer' : null)
  await type(tab, 'c0.0', 'One 2 three')
  expect(tab.session.state.value).toBe('unsent')
  await type(tab, 'c0.1', 'Four five 6')
  await wait(5_000)
  expect(service.edits.map(({ number }) => number)).toEqual([1, 2])
  expect(service.texts.slice(0, 2)).toEqual(['One 2 three', 'Four five 6'])
  expect(tab.session.state.value).toBe('saved')
  expect(tab.texts).toEqual(service.texts)
})

it('waits 1, 2, 4 and at most 30 seconds for a service that does not answer, and goes on in order', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  const at: number[] = []
  service.fault = () => {
    at.push(Date.now())
    return 503
  }
  tab.session.perform([{ op: 'text', id: 'c0.0', v: 0, text: 'One' }])
  await wait(60_000)
  await type(tab, 'c0.1', 'Four')
  await wait(70_000)
  const waits = at.slice(1).map((time, nth) => Math.round((time - at[nth]!) / 1000))
  expect(waits.slice(0, 5)).toEqual([1, 2, 4, 8, 16])
  expect(waits.slice(5)).toEqual([30, 30, 30])
  service.fault = () => null
  tab.session.perform([{ op: 'text', id: 'c0.0', v: 0, text: 'One and all' }])
  expect([tab.session.state.value, tab.session.pending.value]).toEqual(['unsent', 3])
  tab.dispatch({ type: 'connection', connection: 'live' })
  await wait(200)
  expect(tab.session.state.value).toBe('saved')
  expect(service.edits.map(({ operations }) => operations[0].text)).toEqual(['One', 'Four', 'One and all'])
})

it('merges changes of different words of a line', async () => {
  const service = new FakeService(TEXTS)
  const [one, other] = [await openTab(service), await openTab(service)]
  one.session.type('c0.0', 'One two 3')
  other.session.type('c0.0', 'Uno two three')
  await wait(3_000)
  expect(service.texts[0]).toBe('Uno two 3')
  for (const tab of [one, other]) {
    expect(tab.text('c0.0')).toBe('Uno two 3')
    expect(tab.session.conflicts.value).toEqual({})
    expect(tab.session.state.value).toBe('saved')
  }
})

describe('the same words of a line', () => {
  async function clash(): Promise<{ service: FakeService; mine: Tab; theirs: Tab }> {
    const service = new FakeService(TEXTS)
    const [theirs, mine] = [await openTab(service), await openTab(service)]
    mine.session.type('c0.0', 'One 2 three')
    await wait(300)
    await type(theirs, 'c0.0', 'One TWO three')
    await wait(1_000)
    return { service, mine, theirs }
  }
  it('need a decision by who was later, whose text stays before the eyes', async () => {
    const { service, mine, theirs } = await clash()
    const [later, earlier] = service.text('c0.0') === 'One 2 three' ? [theirs, mine] : [mine, theirs]
    expect(Object.keys(earlier.session.conflicts.value)).toEqual([])
    expect(later.session.conflicts.value).toEqual({
      'c0.0': {
        mine: later === mine ? 'One 2 three' : 'One TWO three',
        theirs: service.text('c0.0'),
        gone: false,
        author: 'Me',
        at: 1000,
      },
    })
    expect(later.text('c0.0')).toBe(later.session.conflicts.value['c0.0']!.mine)
    await type(later, 'c0.1', 'Four') // other lines go on
    expect(service.text('c0.1')).toBe('Four')
    await type(later, 'c0.0', 'One deux three')
    expect(later.session.conflicts.value['c0.0']!.mine).toBe('One deux three')
  })
  it.each([
    ['mine', ['MINE', 'Four five six']],
    ['theirs', ['THEIRS', 'Four five six']],
    ['both', ['THEIRS', 'MINE']],
  ] as const)('can be kept: %s', async (choice, expected) => {
    const { service, mine, theirs } = await clash()
    const later = service.text('c0.0') === 'One 2 three' ? theirs : mine
    const { mine: own, theirs: other } = later.session.conflicts.value['c0.0']!
    later.session.resolve('c0.0', choice)
    await wait(500)
    const wanted = expected.map((text) => (text === 'MINE' ? own : text === 'THEIRS' ? other : text))
    expect(service.texts.slice(0, 2)).toEqual(wanted)
    for (const tab of [mine, theirs]) {
      expect(tab.texts).toEqual(service.texts)
      expect(tab.session.conflicts.value).toEqual({})
      expect(tab.session.state.value).toBe('saved')
    }
  })
  it('are kept over a reload until somebody decides', async () => {
    const service = new FakeService(TEXTS)
    const browser = new Browser()
    const tab = await openTab(service, browser)
    tab.session.type('c0.0', 'One 2 three')
    service.edit('Li', { op: 'text', id: 'c0.0', v: 0, text: 'One TWO three' })
    await wait(1_000)
    tab.die()
    const again = await openTab(service, browser)
    await wait(1_000)
    expect(again.session.conflicts.value['c0.0']).toMatchObject({
      mine: 'One 2 three',
      theirs: 'One TWO three',
      author: 'Li',
    })
    expect(again.text('c0.0')).toBe('One 2 three')
  })
})

it.each([
  ['deleted', { op: 'delete', id: 'c0.1', v: 0 }],
  ['joined with the line before', { op: 'merge', ids: ['c0.0', 'c0.1'], v: [0, 0] }],
])('keeps what is typed into a line that somebody %s', async (_, operation) => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  tab.session.type('c0.1', 'Four five 6')
  service.edit('Li', operation)
  await wait(300)
  tab.session.type('c0.1', 'Four five 6 and 7')
  expect(tab.text('c0.1')).toBe('Four five 6')
  await wait(2_000)
  const id = tab.session.idOf('c0.1')
  expect(id).not.toBe('c0.1')
  expect(service.text(id)).toBe('Four five 6 and 7')
  expect(service.texts.filter((text) => text.includes('Four five 6'))).toHaveLength(1)
  expect(service.lines.findIndex((line) => line.id === id)).toBe(1)
  expect(tab.session.conflicts.value[id]).toMatchObject({ gone: true, author: 'Li' })
  await type(tab, 'c0.1', 'Four') // the place where it was typed leads there
  expect(service.text(id)).toBe('Four')
  tab.session.resolve(id, 'mine')
  expect(tab.session.conflicts.value).toEqual({})
  await wait(500)
  expect(tab.texts).toEqual(service.texts)
})

it('keeps what is typed into a line that vanished before the first key', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  service.edit('Li', { op: 'delete', id: 'c0.1', v: 0 })
  await wait(100)
  await type(tab, 'c0.1', 'Four five 6')
  expect(service.texts).toEqual(['One two three', 'Four five 6', 'Seven eight', 'Nine ten'])
})

it('does not delete a line that somebody wrote into, and cuts at the same word', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  service.deaf.add(tab)
  service.edit('Li', { op: 'text', id: 'c0.2', v: 0, text: 'Seven eight nine' })
  service.edit('Li', { op: 'text', id: 'c0.1', v: 0, text: 'And four five six' })
  tab.session.perform([{ op: 'delete', id: 'c0.2', v: 0 }])
  tab.session.perform([{ op: 'split', id: 'c0.1', v: 0, at: 9, new: 'n1' }])
  await wait(10_000)
  expect(service.texts.slice(1, 4)).toEqual(['And four five', 'six', 'Seven eight nine'])
  expect(tab.session.state.value).toBe('saved')
  expect(tab.texts).toEqual(service.texts)
})

describe('undo', () => {
  it('takes acts back one by one, in different lines, and does them again', async () => {
    const service = new FakeService(TEXTS)
    const tab = await openTab(service)
    const states = [service.texts]
    const acts: (() => unknown)[] = [
      () => type(tab, 'c0.0', 'One 2 three'),
      () =>
        tab.session.perform(
          [{ op: 'split', id: 'c0.1', v: 0, at: 4, new: 'n1' }],
          { id: 'c0.1', offset: 4 },
          { id: 'n1', offset: 0 },
        ),
      () => tab.session.perform([{ op: 'merge', ids: ['n1', 'c0.2'], v: [] }]),
      () => tab.session.perform([{ op: 'delete', id: 'c1.0', v: 0 }]),
      () => tab.session.perform([{ op: 'insert', after: 'c0.0', new: 'n2', start: 6, end: 7, text: 'New' }]),
    ]
    for (const act of acts) {
      await act()
      await wait(100)
      states.push(tab.texts)
      expect(service.texts).toEqual(tab.texts)
    }
    for (const state of states.slice(0, -1).reverse()) {
      expect(tab.session.canUndo.value).toBe(true)
      tab.session.undo()
      expect(tab.texts).toEqual(state) // at once
      await wait(100)
      expect(service.texts).toEqual(state)
    }
    expect(tab.session.canUndo.value).toBe(false)
    for (const state of states.slice(1)) {
      tab.session.redo()
      expect(tab.texts).toEqual(state)
      await wait(100)
      expect(service.texts).toEqual(state)
    }
    expect(tab.session.canRedo.value).toBe(false)
    expect(tab.session.undo()).toBe(null)
    expect(service.edits).toHaveLength(15)
    await wait(100)
    expect(service.edits.at(-1)).toMatchObject({ undoes: 15 })
    expect(tab.session.lines.value.map(({ id, start, end, words }) => [id, start, end, words])).toEqual(
      service.lines.map(({ id, start, end, words }) => [id, start, end, words]),
    )
  })
  it('knows where the caret was', async () => {
    const tab = await openTab(new FakeService(TEXTS))
    await type(tab, 'c0.0', 'One twenty three')
    expect(tab.session.undo()).toEqual({ id: 'c0.0', offset: 7 })
    expect(tab.session.redo()).toEqual({ id: 'c0.0', offset: 10 })
  })
  it('takes what was typed without a pause of a second as one step, though it was sent in parts', async () => {
    const service = new FakeService(TEXTS)
    const tab = await openTab(service)
    for (const text of ['One 2', 'One 2 thr', 'One 2 three!']) {
      tab.session.type('c0.0', text)
      await wait(800)
    }
    await wait(1_000)
    expect(service.edits).toHaveLength(3)
    await type(tab, 'c0.0', 'One 2 three! four')
    tab.session.undo()
    expect(tab.text('c0.0')).toBe('One 2 three!')
    tab.session.undo()
    expect(tab.text('c0.0')).toBe('One two three')
    await wait(500)
    expect(service.text('c0.0')).toBe('One two three')
    tab.session.redo()
    await wait(500)
    expect(service.text('c0.0')).toBe('One 2 three!')
  })
  it('goes on after a reload, also of what was not sent yet', async () => {
    const service = new FakeService(TEXTS)
    const browser = new Browser()
    const storage = new Map<string, string>()
    const tab = await openTab(service, browser, storage)
    await type(tab, 'c0.0', 'One 2 three')
    service.fault = () => 'request'
    await type(tab, 'c0.1', 'Four')
    tab.die()
    service.fault = () => null
    const again = await openTab(service, browser, storage)
    await wait(100)
    expect(again.session.canUndo.value).toBe(true)
    again.session.undo()
    await wait(100)
    expect(service.texts.slice(0, 2)).toEqual(['One 2 three', 'Four five six'])
    again.session.undo()
    await wait(100)
    expect(service.texts).toEqual(TEXTS)
    expect(again.texts).toEqual(TEXTS)
  })
  it('is refused with the name of who changed the line since, and the older steps stay', async () => {
    const service = new FakeService(TEXTS)
    const browser = new Browser()
    const tab = await openTab(service, browser)
    await type(tab, 'c0.1', 'Four')
    await type(tab, 'c0.0', 'One 2 three')
    service.edit('Li', { op: 'text', id: 'c0.0', v: 1, text: 'One 2 three 4' })
    await wait(100)
    tab.session.undo()
    expect(tab.text('c0.0')).toBe('One 2 three 4')
    await wait(500)
    expect(browser.said).toEqual(['undo_blocked {"name":"Li"}'])
    expect(service.text('c0.0')).toBe('One 2 three 4')
    tab.session.undo()
    await wait(500)
    expect(service.text('c0.1')).toBe('Four five six')
    expect(tab.session.state.value).toBe('saved')
  })
  it('works while the service is gone', async () => {
    const service = new FakeService(TEXTS)
    const tab = await openTab(service)
    service.fault = () => 'request'
    await type(tab, 'c0.0', 'One 2 three')
    tab.session.undo()
    tab.session.redo()
    tab.session.undo()
    expect(tab.text('c0.0')).toBe('One two three')
    service.fault = () => null
    tab.dispatch({ type: 'connection', connection: 'live' })
    await wait(1_000)
    expect(service.texts).toEqual(TEXTS)
    expect(tab.session.state.value).toBe('saved')
  })
})

describe('a tab that dies', () => {
  it('leaves what was typed 400 ms before, which the next visit sends', async () => {
    const service = new FakeService(TEXTS)
    const browser = new Browser()
    const tab = await openTab(service, browser)
    tab.session.type('c0.0', 'One 2 three')
    await wait(400)
    tab.die()
    await wait(60_000)
    expect(service.edits).toEqual([])
    const again = await openTab(service, browser)
    await wait(1_000)
    expect(again.session.recovered.value).toBe(1)
    expect(service.text('c0.0')).toBe('One 2 three')
    expect(again.session.state.value).toBe('saved')
    expect(browser.rows.size).toBe(0)
  })
  it('leaves its changes to a page that was opened before it was quite gone, as by a reload', async () => {
    const service = new FakeService(TEXTS)
    const browser = new Browser()
    const tab = await openTab(service, browser)
    service.fault = () => 503
    await type(tab, 'c0.0', 'One 2 three')
    const again = await openTab(service, browser)
    await wait(1_000)
    expect(service.text('c0.0')).toBe(TEXTS[0])
    tab.die()
    service.fault = () => null
    await wait(1_000)
    expect(again.session.recovered.value).toBe(1)
    expect(service.text('c0.0')).toBe('One 2 three')
    expect(browser.rows.size).toBe(0)
  })
  it('leaves nothing to restore when only the answer was missing', async () => {
    const service = new FakeService(TEXTS)
    const browser = new Browser()
    const tab = await openTab(service, browser)
    service.fault = () => 'answer'
    service.deaf.add(tab)
    await type(tab, 'c0.0', 'One 2 three')
    tab.session.perform([{ op: 'split', id: 'c0.1', v: 0, at: 4, new: 'n1' }])
    tab.die()
    service.fault = () => null
    const again = await openTab(service, browser)
    service.edit('Li', { op: 'text', id: 'c0.0', v: 1, text: 'One 2 3' })
    await wait(1_000)
    expect(again.session.conflicts.value).toEqual({})
    expect(service.texts.slice(0, 3)).toEqual(['One 2 3', 'Four', 'five six'])
    expect(again.session.recovered.value).toBe(1) // the split had not been sent
    expect(service.edits).toHaveLength(3)
  })
  it('is not taken for one that lives', async () => {
    const service = new FakeService(TEXTS)
    const browser = new Browser()
    service.fault = () => 'request'
    const tab = await openTab(service, browser)
    await type(tab, 'c0.0', 'One 2 three')
    const second = await openTab(service, browser)
    await wait(100)
    expect([second.session.recovered.value, second.session.pending.value]).toEqual([0, 0])
    tab.die()
    service.fault = () => null
    second.fire('focus')
    await wait(1_000)
    expect(second.session.recovered.value).toBe(1)
    expect(service.text('c0.0')).toBe('One 2 three')
  })
  it('sends what it can while it is left', async () => {
    const service = new FakeService(TEXTS)
    const tab = await openTab(service)
    tab.session.type('c0.0', 'One 2 three')
    tab.fire('pagehide')
    tab.die()
    await wait(100)
    expect(service.text('c0.0')).toBe('One 2 three')
  })
})

it('says when the browser stores nothing, and asks before the tab is closed', async () => {
  const service = new FakeService(TEXTS)
  const browser = new Browser()
  browser.keeps = false
  const tab = await openTab(service, browser)
  service.fault = () => 'request'
  await type(tab, 'c0.0', 'One 2 three')
  expect(tab.session.state.value).toBe('memory')
  const asked = vi.fn()
  tab.fire('beforeunload', { preventDefault: asked })
  expect(asked).toHaveBeenCalledOnce()
  service.fault = () => null
  await wait(5_000)
  tab.fire('beforeunload', { preventDefault: asked })
  expect(asked).toHaveBeenCalledOnce()
  expect(service.text('c0.0')).toBe('One 2 three')
})

it('waits for a login', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  service.fault = () => 401
  await type(tab, 'c0.0', 'One 2 three')
  expect([tab.session.state.value, tab.session.pending.value]).toEqual(['login', 1])
  service.fault = () => null
  tab.fire('focus')
  await wait(100)
  expect([tab.session.state.value, service.text('c0.0')]).toEqual(['saved', 'One 2 three'])
})

it('keeps what is refused, with the reason, and takes what is typed instead', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  service.fault = ({ operations }) => (operations?.[0].text?.startsWith('One 2') ? 422 : null)
  await type(tab, 'c0.0', 'One 2 three')
  await type(tab, 'c0.1', 'Four')
  expect(service.texts.slice(0, 2)).toEqual(['One two three', 'Four'])
  expect(tab.text('c0.0')).toBe('One 2 three')
  expect([tab.session.problem.value?.code, tab.session.unsaved(), tab.session.pending.value]).toEqual([
    'no',
    'One 2 three',
    1,
  ])
  await type(tab, 'c0.0', 'One three')
  expect(service.text('c0.0')).toBe('One three')
  expect([tab.session.problem.value, tab.session.pending.value]).toEqual([null, 0])
})

it('gives up what is refused when the person says so', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  service.fault = () => 413
  await type(tab, 'c0.0', 'One 2 three')
  tab.session.discard()
  expect([tab.text('c0.0'), tab.session.pending.value, tab.session.problem.value]).toEqual(['One two three', 0, null])
})

it('keeps what a proxy refuses', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  service.fault = () => 'proxy'
  await type(tab, 'c0.0', 'One 2 three')
  expect([tab.session.problem.value?.message, tab.session.unsaved()]).toEqual(['HTTP 413', 'One 2 three'])
})

it('keeps what was typed into a transcript that is deleted, until it is restored', async () => {
  const service = new FakeService(TEXTS)
  const browser = new Browser()
  const tab = await openTab(service, browser)
  service.answer = () => [404, { code: 'not_found', message: 'Gone.', hint: '', params: {} }]
  tab.dispatch({ type: 'deleted', seq: 5, id: 'job' })
  await type(tab, 'c0.0', 'One 2 three')
  expect([tab.session.problem.value?.code, tab.session.unsaved()]).toEqual(['not_found', 'One 2 three'])
  expect(tab.texts[0]).toBe('One 2 three')
  expect(browser.rows.size).toBe(1)
  service.answer = FakeService.prototype.answer
  tab.dispatch({ type: 'update', seq: 6, job: { id: 'job', status: 'completed' } })
  await wait(1_000)
  expect(service.text('c0.0')).toBe('One 2 three')
  expect(tab.session.problem.value).toBe(null)
})

it('leaves a line alone while an input method composes in it', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  tab.session.composing.value = true
  tab.session.type('c0.0', 'One pingguo three')
  service.edit('Li', { op: 'text', id: 'c0.0', v: 0, text: 'One two 3' })
  await wait(5_000)
  tab.session.flush()
  expect(service.requests).toEqual([])
  expect(tab.text('c0.0')).toBe('One pingguo three')
  tab.session.composing.value = false
  tab.session.type('c0.0', 'One 苹果 three')
  await wait(2_000)
  expect(tab.text('c0.0')).toBe('One 苹果 3')
  expect(service.text('c0.0')).toBe('One 苹果 3')
})

it('deletes an empty line only when it is left', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  await type(tab, 'c0.0', '')
  expect(service.texts).toEqual(TEXTS)
  tab.session.flush()
  await wait(100)
  expect(service.texts).toEqual(TEXTS.slice(1))
  tab.session.undo()
  expect(tab.texts).toEqual(TEXTS)
})

it('sends thousands of changes of one act in parts, as one step of undo', async () => {
  const texts = Array.from({ length: 6_000 }, (_, nth) => `pound ${nth}`)
  const service = new FakeService(texts)
  const tab = await openTab(service)
  const operations = service.lines.map(({ id, text }) => ({
    op: 'text' as const,
    id,
    v: 0,
    text: text.replace('pound', 'hash'),
  }))
  expect(tab.session.perform(operations)).toBe(true)
  await wait(2_000)
  expect(service.texts.every((text) => text.startsWith('hash'))).toBe(true)
  expect(Math.max(...service.requests.map((request) => JSON.stringify(request).length))).toBeLessThan(1_000_000)
  tab.session.undo()
  await wait(2_000)
  expect(service.texts).toEqual(texts)
})

it('sends five thousand replaced lines as one edit, and of a wide script as much as the service takes', async () => {
  const texts = Array.from({ length: 5_000 }, (_, nth) => `the pound of number ${nth}`)
  const many = new FakeService(texts)
  const replaced = ({ lines }: FakeService, from: string, by: string) =>
    lines.map(({ id, text }) => ({ op: 'text' as const, id, v: 0, text: text.replace(from, by) }))
  const tab = await openTab(many)
  expect(tab.session.perform(replaced(many, 'pound', 'hash'))).toBe(true)
  await wait(2_000)
  expect(many.edits.length).toBe(1)
  expect(many.texts.filter((text) => text.startsWith('the hash of')).length).toBe(5_000)
  const wide = new FakeService(Array.from({ length: 300 }, () => '蘋'.repeat(1_900)))
  const other = await openTab(wide)
  expect(other.session.perform(replaced(wide, '蘋', '苹'))).toBe(true)
  await wait(2_000)
  const sizes = wide.requests.map((request) => new Blob([JSON.stringify(request)]).size)
  expect(sizes.length).toBe(2)
  expect(Math.max(...sizes)).toBeLessThan(1_000_000)
  expect(wide.texts.every((text) => text.startsWith('苹'))).toBe(true)
})

it('gives the same lines again when the same changes are folded again', async () => {
  const service = new FakeService(TEXTS)
  const tab = await openTab(service)
  service.fault = () => 503
  tab.session.perform([{ op: 'text', id: 'c0.0', v: 0, text: 'Uno two three' }])
  const before = tab.session.lines.value[0]
  expect(before!.text).toBe('Uno two three')
  tab.session.perform([{ op: 'text', id: 'c0.1', v: 0, text: 'Four five' }])
  expect(tab.session.lines.value[0]).toBe(before)
  service.edit('Other', { op: 'time', id: 'c0.1', v: 0, start: 10, end: 14 })
  await wait(100)
  expect(tab.session.lines.value[0]).toBe(before)
})

/** Numbers from 0 to 1 that are the same for the same seed. */
function chance(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    const mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    const more = mixed ^ (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed))
    return ((more ^ (more >>> 14)) >>> 0) / 2 ** 32
  }
}

it('shows after five hundred acts at random what service and log say, in the text of ten hours', async () => {
  const random = chance(38)
  const service = new FakeService(Array.from({ length: 8_800 }, () => 'The quick brown fox jumps over the lazy dog.'))
  const machine = [...service.lines]
  const tab = await openTab(service)
  const { session } = tab
  const kinds = { typed: 0, split: 0, merged: 0, deleted: 0, inserted: 0, undone: 0 }
  for (let nth = 0; nth < 500; nth += 1) {
    const lines = session.lines.value
    const at = Math.floor(random() * (lines.length - 1))
    const [line, next] = [lines[at]!, lines[at + 1]!]
    const [id, v, { text, start, end }] = [line.id!, 0, line]
    const kind = random()
    let done = true
    let name: keyof typeof kinds = 'typed'
    if (kind < 0.35) {
      const words = text.trim().split(' ')
      words[Math.floor(random() * words.length)] = ['new', '苹果', 'two words', `w${nth}`, '.'][nth % 5]!
      session.type(id, words.join(' '))
      session.flush()
    } else if (kind < 0.5) {
      name = 'split'
      done = session.perform([{ op: 'split', id, v, at: text.trimStart().indexOf(' ') + 1, new: `n${nth}` }])
    } else if (kind < 0.65) {
      name = 'merged'
      done = session.perform([{ op: 'merge', ids: [id, next.id!], v: [] }])
    } else if (kind < 0.75) {
      name = 'deleted'
      done = session.perform([{ op: 'delete', id, v }])
    } else if (kind < 0.85) {
      name = 'inserted'
      const from = Math.max(start, Math.min(end, next.start))
      done = session.perform([{ op: 'insert', after: id, new: `n${nth}`, start: from, end: from + 1, text: 'Mine' }])
    } else {
      name = 'undone'
      session.undo()
    }
    if (done) kinds[name] += 1
    await wait(random() * 60) // some are sent, some are not
  }
  await wait(5_000)
  expect(Math.min(...Object.values(kinds))).toBeGreaterThan(25)
  expect([session.state.value, session.pending.value, session.conflicts.value]).toEqual(['saved', 0, {}])
  const folded = new LineList(machine)
  for (const { operations } of service.edits) apply(folded, operations)
  const seen = ({ id, text, start, end, words }: any) => ({ id, text, start, end, words })
  expect(service.edits.length).toBeGreaterThan(400)
  const differing = (one: readonly any[], other: readonly any[]) => {
    const [first, second] = [one, other].map((lines) => lines.map((line) => JSON.stringify(seen(line))))
    return [first!.length - second!.length, ...first!.filter((line, at) => line !== second![at]).slice(0, 3)]
  }
  expect(differing(service.lines, folded.items)).toEqual([0])
  expect(differing(session.lines.value, service.lines)).toEqual([0])
  void tab.fetchTranscript()
  await wait(20)
  expect(differing(session.lines.value, service.lines)).toEqual([0])
}, 120_000)

/** A person in one tab, who writes words that nobody else writes. */
class Writer {
  words = 0
  made = 0
  constructor(
    readonly name: string,
    public tab: Tab,
    readonly random: () => number,
  ) {}
  some = <T>(list: readonly T[]): T => list[Math.floor(this.random() * list.length)]!
  word(): string {
    return `${this.name}${this.words++}`
  }
  /** Write some words into a line, as the page does: what comes from outside meanwhile is shown. */
  async write(): Promise<void> {
    const { session } = this.tab
    session.flush() // the line before is left
    const { id } = this.some(session.lines.value)
    let shown = this.tab.text(id!)!
    let text = shown
    for (let keys = 1 + Math.floor(this.random() * 3); keys; keys -= 1) {
      const now = this.tab.text(id!)
      if (now === undefined) return
      if (now !== shown) text = shown = now
      const words = text.split(' ')
      words.splice(Math.floor(this.random() * (words.length + 1)), 0, this.word())
      text = words.join(' ')
      session.type(id!, text)
      await wait(this.random() * 300)
    }
  }
  act(): void {
    const { session } = this.tab
    session.flush()
    const lines = session.lines.value
    const at = Math.floor(this.random() * lines.length)
    const line = lines[at]!
    const id = line.id!
    const gap = line.text.indexOf(' ', this.random() * line.text.length)
    const next = lines[at + 1]
    const kind = this.random()
    if (kind < 0.4 && gap > 0)
      session.perform([{ op: 'split', id, v: 0, at: gap, new: `split-${this.name}${this.made++}` }])
    else if (kind < 0.7 && next && line.text.length < 300)
      session.perform([{ op: 'merge', ids: [id, next.id!], v: [] }])
    else {
      const { start } = line
      const operation = {
        op: 'insert',
        after: id,
        new: `new-${this.name}${this.made++}`,
        start,
        end: start + 1,
      } as const
      if (!session.perform([{ ...operation, text: this.word() }])) this.words -= 1
    }
  }
}

it.each([1, 2, 3, 4, 5, 6, 7, 8])('loses no word of three people while everything fails (%i)', async (seed) => {
  const random = chance(seed)
  const service = new FakeService([
    'So it goes',
    'And so on',
    'Here we are now',
    'There they go',
    'Fine',
    'The last one',
  ])
  const browsers = [new Browser(), new Browser(), new Browser()]
  const writers: Writer[] = []
  for (const [nth, browser] of browsers.entries())
    writers.push(new Writer('abc'[nth]!, await openTab(service, browser), random))
  const faults = [null, null, null, null, 'request', 'answer', 'answer', 503] as const
  service.fault = () => faults[Math.floor(random() * faults.length)]!
  for (let turn = 0; turn < 60; turn += 1) {
    const nth = Math.floor(random() * 3)
    const writer = writers[nth]!
    const luck = random()
    if (luck < 0.65) await writer.write()
    else if (luck < 0.85) writer.act()
    else if (luck < 0.9)
      service.deaf.add(writer.tab) // its events stop
    else if (luck < 0.95) {
      service.deaf.delete(writer.tab) // it is connected again
      void writer.tab.fetchTranscript()
    } else {
      await wait(400)
      writer.tab.die()
      writer.tab = await openTab(service, browsers[nth]!)
    }
    await wait(random() * 900)
  }
  service.fault = () => null
  service.deaf.clear()
  for (let round = 0; round < 40; round += 1) {
    for (const { tab } of writers) {
      tab.session.flush()
      void tab.fetchTranscript()
      await wait(10)
      for (const id of Object.keys(tab.session.conflicts.value)) tab.session.resolve(id, 'both')
    }
    await wait(3_000)
  }
  const found = service.texts.join(' ').split(' ')
  for (const { name, tab, words } of writers) {
    expect([name, tab.session.state.value, tab.session.pending.value]).toEqual([name, 'saved', 0])
    expect(tab.texts).toEqual(service.texts)
    const lost = Array.from({ length: words }, (_, nth) => `${name}${nth}`).filter((word) => !found.includes(word))
    expect(lost).toEqual([])
  }
  expect(new Set(service.edits.map(({ batch }) => batch)).size).toBe(service.edits.length)
  for (const { rows } of browsers) expect(rows.size).toBe(0)
})
