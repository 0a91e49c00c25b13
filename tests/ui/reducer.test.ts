import { INITIAL, newestFirst, reduce, type Message, type State } from '../../static/src/reducer.ts'
import type { Job, Segment, Snapshot, System } from '../../static/src/types.ts'

const job = (id: string, status: string, progress = 0) => ({ id, status, progress, name: id }) as unknown as Job
const line = (chunk: number, index: number, text = '') => ({ chunk, index, text }) as unknown as Segment
const snapshot = (seq: number, jobs: Job[], boot = 'a', next: string | null = null): Message => ({
  type: 'snapshot',
  snapshot: {
    seq,
    boot,
    ui_version: null,
    jobs: { jobs, next },
    system: { version: '1' } as System,
  } satisfies Snapshot,
})
const after = (messages: Message[], state: State = INITIAL) => messages.reduce(reduce, state)

it('shows the newest job first', () => {
  expect(newestFirst(after([snapshot(1, [job('1', 'completed'), job('2', 'pending')])])).map(({ id }) => id)).toEqual([
    '2',
    '1',
  ])
})

it('ignores an update that is older than the last', () => {
  const state = after([
    { type: 'update', seq: 9, job: job('1', 'completed', 1) },
    { type: 'update', seq: 5, job: job('1', 'processing', 0.4) },
  ])
  expect(state.jobs['1']!.status).toBe('completed')
})

it('ends in the same state for any order and number of updates', () => {
  let seed = 7
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647
  for (let run = 0; run < 200; run += 1) {
    const updates: Message[] = Array.from({ length: 12 }, (_, i) => ({
      type: 'update',
      seq: 10 + i,
      job: job(String(i % 3), i < 9 ? 'processing' : 'completed', i / 12),
    }))
    const mixed = [...updates, ...updates]
      .map((one) => [random(), one] as const)
      .sort((a, b) => a[0] - b[0])
      .map(([, one]) => one)
    const state = after([snapshot(1, []), ...mixed])
    expect(newestFirst(state).map(({ status }) => status)).toEqual(['completed', 'completed', 'completed'])
  }
})

it('keeps a deleted job deleted', () => {
  const state = after([
    snapshot(3, [job('1', 'processing')]),
    { type: 'deleted', seq: 5, id: '1' },
    { type: 'update', seq: 4, job: job('1', 'processing') },
  ])
  expect(state.jobs).toEqual({})
})

it('removes jobs that a new snapshot lacks, but keeps those beyond its page', () => {
  const all = after([snapshot(1, [job('1', 'completed'), job('2', 'completed'), job('3', 'completed')])])
  expect(newestFirst(after([snapshot(2, [job('3', 'completed')])], all)).map(({ id }) => id)).toEqual(['3'])
  expect(newestFirst(after([snapshot(2, [job('3', 'completed')], 'a', 'x')], all)).map(({ id }) => id)).toEqual([
    '3',
    '2',
    '1',
  ])
})

it('ignores an old snapshot, but takes any of a new run of the service', () => {
  const state = after([snapshot(9, [job('1', 'completed')])])
  expect(after([snapshot(4, [])], state).jobs).toHaveProperty('1')
  expect(after([snapshot(4, [], 'b')], state).jobs).toEqual({})
})

it('asks for a snapshot after a reset, a restart, and a hello that is ahead', () => {
  const state = after([snapshot(9, [])])
  expect(state.stale).toBe(false)
  expect(reduce(state, { type: 'hello', seq: 9, boot: 'a', ui: '1' }).stale).toBe(false)
  expect(reduce(state, { type: 'hello', seq: 12, boot: 'a', ui: '1' }).stale).toBe(true)
  expect(reduce(state, { type: 'hello', seq: 9, boot: 'b', ui: '1' }).stale).toBe(true)
  expect(reduce(state, { type: 'reset' }).stale).toBe(true)
})

it('keeps a line that comes while the transcript is fetched', () => {
  const fetched = { segments: [line(0, 0), line(2, 0)], deleted: [], edits: 0 } as any
  const state = after([
    { type: 'reading', id: '1' },
    { type: 'segment', seq: 3, id: '1', segment: line(1, 0) },
    { type: 'transcript', id: '1', transcript: fetched },
    { type: 'reading', id: '1' },
  ])
  expect(state.texts['1']!.map(({ chunk }) => chunk)).toEqual([0, 1, 2])
})

it('sorts lines and has none twice, live or fetched', () => {
  const fetched = { segments: [line(0, 0), line(1, 0)], deleted: [], edits: 0 } as any
  const state = after([
    { type: 'transcript', id: '1', transcript: fetched },
    { type: 'segment', seq: 3, id: '1', segment: line(2, 0) },
    { type: 'segment', seq: 4, id: '1', segment: line(0, 1) },
    { type: 'segment', seq: 5, id: '1', segment: line(1, 0, 'again') },
  ])
  expect(state.texts['1']!.map(({ chunk, index, text }) => [chunk, index, text])).toEqual([
    [0, 0, ''],
    [0, 1, ''],
    [1, 0, 'again'],
    [2, 0, ''],
  ])
})

it('keeps the object of a line that is fetched again unchanged', () => {
  const fetch = (...segments: Segment[]): Message => ({
    type: 'transcript',
    id: '1',
    transcript: { segments, deleted: [], edits: 0 } as any,
  })
  const state = after([fetch(line(0, 0, 'a'), line(1, 0, 'b'))])
  const again = after([fetch(line(0, 0, 'a'), line(1, 0, 'c'), line(2, 0))], state)
  expect(again.texts['1']!.map((each, nth) => each === state.texts['1']![nth])).toEqual([true, false, false])
})

it('counts every job once by its status, and no deleted ones', () => {
  const start: Message = {
    type: 'snapshot',
    snapshot: {
      seq: 1,
      boot: 'a',
      ui_version: null,
      jobs: { jobs: [job('5', 'pending')], next: null },
      system: { version: '1', jobs: { pending: 1, completed: 9 } } as unknown as System,
    },
  }
  const state = after([
    start,
    { type: 'update', seq: 2, job: job('5', 'processing') },
    { type: 'update', seq: 3, job: job('6', 'pending') },
    { type: 'update', seq: 4, job: job('5', 'completed') },
    { type: 'deleted', seq: 5, id: '6' },
  ])
  expect(state.counts).toEqual({ pending: 0, processing: 0, paused: 0, completed: 10, failed: 0, cancelled: 0 })
})

it('keeps the newest text of a job that no page shows', () => {
  expect(after([{ type: 'segment', seq: 3, id: '1', segment: line(2, 0, ' so far') }]).lastText).toEqual({
    1: 'so far',
  })
})

it('notices a new build of the page', () => {
  const hello = (ui: string | null): Message => ({ type: 'hello', seq: 1, boot: 'a', ui })
  expect(after([hello('x'), hello('x'), hello(null)]).ui).toEqual({ first: 'x', now: 'x' })
  expect(after([hello('x'), hello('y')]).ui).toEqual({ first: 'x', now: 'y' })
})

it('updates a model after the list was fetched', () => {
  const model = (name: string, state: string) => ({ name, state, good_for: name === 'small' ? 'notes' : '' }) as any
  const told: Message = { type: 'model', seq: 5, model: model('small', 'downloading') }
  expect(after([told]).models).toBeNull()
  const state = after([
    { type: 'models', models: { models: [model('small', 'absent')], hub: {} as any } },
    told,
    { ...told, model: model('own/one', 'installed') },
  ])
  expect(state.models!.map(({ name, state: now }) => [name, now])).toEqual([
    ['small', 'downloading'],
    ['own/one', 'installed'],
  ])
})

it('puts a new model where the service lists it: behind the known ones, by name', () => {
  const model = (name: string, good_for = '') => ({ name, state: 'installed', good_for }) as any
  const listed = [model('small', 'notes'), model('base', 'drafts'), model('acme/x'), model('zoo')]
  const told: Message = { type: 'model', seq: 5, model: model('brought') }
  const state = after([{ type: 'models', models: { models: listed, hub: {} as any } }, told])
  expect(state.models!.map(({ name }) => name)).toEqual(['small', 'base', 'acme/x', 'brought', 'zoo'])
})

it('shows what another window edited, and no line that was deleted there', () => {
  const edited = (chunk: number, index: number, text: string, more = {}) =>
    ({ ...line(chunk, index, text), id: `c${chunk}.${index}`, version: 1, position: index, ...more }) as any
  const transcript = {
    segments: [line(0, 0, 'one'), line(0, 1, 'two'), line(1, 0, 'three')],
    deleted: [],
    edits: 0,
  } as any
  const edit = (seq: number, lines: any[], gone: string[] = []): Message => ({
    type: 'edit',
    seq,
    edit: { job_id: '1', number: seq, batch: 'b', client: '', lines, gone },
  })
  const texts = (...messages: Message[]) =>
    after([{ type: 'reading', id: '1' }, { type: 'transcript', id: '1', transcript }, ...messages]).texts['1']!.map(
      ({ text }) => text,
    )
  expect(texts(edit(5, [edited(0, 1, 'TWO')]))).toEqual(['one', 'TWO', 'three'])
  const inserted = edited(0, 2048, 'between', { id: 'new', position: 0.5 })
  expect(texts(edit(5, [inserted]))).toEqual(['one', 'between', 'two', 'three'])
  expect(texts(edit(5, [inserted], ['c0.1']))).toEqual(['one', 'between', 'three'])
  // An answer or an event that comes late brings nothing old back.
  const late: Message = { type: 'transcript', id: '1', transcript }
  expect(texts(edit(5, [edited(0, 0, 'ONE')], ['c0.1']), late)).toEqual(['ONE', 'three'])
  expect(
    texts(edit(5, [edited(0, 1, 'TWO')]), { type: 'segment', seq: 6, id: '1', segment: line(0, 1, 'two') }),
  ).toEqual(['one', 'TWO', 'three'])
  expect(texts(edit(5, [], ['c0.1']), edit(6, [edited(0, 1, 'two', { version: 3 })]))).toEqual(['one', 'two', 'three'])
  // An undo brings a line back. An answer or an edit from before that does not take it away again.
  const before = { segments: [line(0, 0, 'one'), line(1, 0, 'three')], deleted: ['c0.1'], edits: 5 } as any
  const back = edit(6, [edited(0, 1, 'two', { version: 2 })])
  const stale: Message = { type: 'transcript', id: '1', transcript: before }
  expect(texts(edit(5, [], ['c0.1']), back, stale)).toEqual(['one', 'two', 'three'])
  expect(texts(stale, back, edit(5, [], ['c0.1']))).toEqual(['one', 'two', 'three'])
  expect(after([edit(7, [edited(0, 0, 'x')])]).texts).toEqual({}) // nobody reads it
})

describe('speakers', () => {
  const person = (id: string, name = '') => ({
    ...{ id, name, position: 0, colour: 0, merged_into: null, found: true },
  })
  const transcript = (edits: number, speakers: object[]): Message => ({
    type: 'transcript',
    id: 'a',
    transcript: { segments: [], gaps: [], deleted: [], edits, speakers } as any,
  })
  const edit = (number: number, speakers: object[] | null): Message => ({
    type: 'edit',
    seq: 10 + number,
    edit: { job_id: 'a', number, lines: [], gone: [], speakers } as any,
  })
  const list = (changes: number, name: string): Message => ({
    type: 'speaker_list',
    id: 'a',
    changes,
    list: { speakers: [person('s1', name)], timeline: [[0, 's1']], can_recount: true, why_not: null },
  })
  const names = (state: State) => state.speakers.a?.speakers.map(({ id, name }) => name || id)
  const reading: Message = { type: 'reading', id: 'a' }

  it('come with the transcript, an edit, and a new count', () => {
    let state = after([reading, transcript(0, [person('s1')]), edit(1, [person('s1', 'Anna')]), edit(2, null)])
    expect(names(state)).toEqual(['Anna'])
    state = after([{ type: 'speakers', seq: 20, id: 'a', speakers: [person('s2')], timeline_changed: true }], state)
    expect([names(state), state.seq]).toEqual([['s2'], 20])
    expect(after([edit(1, [person('s1', 'Old')])], state).speakers).toBe(state.speakers)
    expect(after([transcript(1, [person('s1', 'Old')])], state).speakers).toBe(state.speakers)
  })

  it('of an answer that was late are not shown, but its timeline is', () => {
    const state = after([reading, transcript(0, [person('s1')]), edit(1, [person('s1', 'Anna')])])
    const late = after([list(state.speakers.a!.changes - 1, '')], state)
    expect([names(late), late.speakers.a!.timeline]).toEqual([['Anna'], [[0, 's1']]])
    expect(names(after([list(state.speakers.a!.changes, 'Bo')], state))).toEqual(['Bo'])
  })

  it('of a job that no page shows are not kept', () => {
    const told: Message = { type: 'speakers', seq: 20, id: 'a', speakers: [person('s1')], timeline_changed: true }
    expect(after([told])).toMatchObject({ speakers: {}, seq: 20 })
    const shown = after([reading, told])
    expect(names(shown)).toEqual(['s1'])
    expect(after([{ type: 'deleted', seq: 21, id: 'a' }], shown).speakers).toEqual({})
  })
})

it('keeps the marks of a text that is read', () => {
  const mark = (id: string, at: number, more = {}) => ({ id, kind: 'note', text: '', at, ...more }) as any
  const transcript = { segments: [], deleted: [], edits: 1, marks: [mark('a', 1), mark('b', 2)] } as any
  const opened: Message[] = [
    { type: 'reading', id: '1' },
    { type: 'transcript', id: '1', transcript },
  ]
  const edit = (number: number, marks: any[], marks_gone: string[] = []): Message => ({
    type: 'edit',
    seq: number,
    edit: { job_id: '1', number, batch: 'b', client: '', lines: [], gone: [], marks, marks_gone } as any,
  })
  const told = (...messages: Message[]) => after([...opened, ...messages]).marks['1']!.map(({ id, text }) => id + text)
  expect(told()).toEqual(['a', 'b'])
  expect(told(edit(2, [mark('c', 1.5), mark('b', 2, { text: '!' })], ['a']))).toEqual(['c', 'b!'])
  expect(told(edit(2, [], ['a']), edit(2, [mark('a', 1)]))).toEqual(['b']) // told twice
  const late: Message = { type: 'transcript', id: '1', transcript }
  expect(told(edit(2, [], ['a']), late)).toEqual(['b'])
  // An edit came before the transcript, which is from before that edit.
  const first = after([{ type: 'reading', id: '1' }, edit(2, [mark('b', 2, { text: '!' })], ['a']), late])
  expect(first.marks['1']!.map(({ id, text }) => id + text)).toEqual(['b!'])
  expect(after([edit(2, [mark('a', 1)])]).marks).toEqual({}) // nobody reads it
})
