// Who speaks where: the same cases as the service has, and what the page makes of them.
import turnCases from './turns.json'
import {
  afterOperations,
  initialOf,
  isChange,
  resolver,
  shownSpeakers,
  tallies,
  turnOffsets,
  turnsOf,
  untilChange,
  type Speaker,
  type Timeline,
  type Turn,
} from '../../static/src/edit/speakers.ts'

const speaker = (id: string, position: number, more: Partial<Speaker> = {}): Speaker => ({
  ...{ id, position, name: '', colour: position, merged_into: null, found: false },
  ...more,
})
const said = (start: number, words: number[], chosen: string | null = null) => ({
  start,
  end: words.length ? words.at(-1)! + 0.25 : start + 2,
  speaker: chosen,
  words: words.map((at) => ({ start: at, end: at + 0.25 })),
})

it.each(turnCases)('tells whose words they are: $name', ({ line, timeline, speakers, turns }) => {
  const resolve = resolver(Object.entries(speakers).map(([id, into], at) => speaker(id, at, { merged_into: into })))
  expect(turnsOf(said(line.start, line.words, line.speaker), timeline as unknown as Timeline, resolve)).toEqual(turns)
})

it('ends the search for a merged speaker even where the merges go round', () => {
  const resolve = resolver([speaker('a', 0, { merged_into: 'b' }), speaker('b', 1, { merged_into: 'a' })])
  expect(['a', 'b']).toContain(resolve('a'))
})

const A: Turn[] = [[0, 'a']]
const B: Turn[] = [[0, 'b']]
const AB: Turn[] = [...A, [2, 'b']]
const LATE: Turn[] = [[1, 'b']] // nobody is known for its first word

it('says who speaks at each change, also behind a line that changes inside', () => {
  const turns = [A, A, AB, B, A, [], [], A]
  expect(turns.map((_, at) => isChange(turns, at))).toEqual([true, false, true, false, true, true, false, true])
})

it('goes from a line on until another one speaks', () => {
  const turns = [A, A, A, AB, B, [], [], LATE, B]
  expect(turns.map((_, at) => untilChange(turns, at))).toEqual([3, 3, 3, 4, 5, 7, 7, 8, 9])
})

it('counts lines and the seconds of the words, a line of two for both', () => {
  const lines = [said(0, [0, 1]), said(2, [2, 3, 4]), said(6, [])]
  const found = tallies(lines, [A, AB, B])
  expect(Object.fromEntries(found)).toEqual({ a: { lines: 2, seconds: 1 }, b: { lines: 2, seconds: 2.25 } })
  const back = tallies([said(0, [0, 1, 2, 3])], [[...AB, [3, 'a']]])
  expect(Object.fromEntries(back)).toEqual({ a: { lines: 1, seconds: 0.75 }, b: { lines: 1, seconds: 0.25 } })
})

it('finds the beginnings of turns in the text', () => {
  const words = [' the', ' cat', ' the', ' dog'].map((word) => ({ word }))
  expect(turnOffsets('the cat the dog', words, [...A, [2, 'b']])).toEqual([0, 8])
  expect(turnOffsets('the cat the dog', words, [...A, [1, 'b'], [3, 'a']])).toEqual([0, 4, 12])
  expect(
    turnOffsets(
      '你好世界',
      ['你好', '世界'].map((word) => ({ word })),
      [...A, [1, 'b']],
    ),
  ).toEqual([0, 2])
  expect(turnOffsets('the cat the dog', words, LATE)).toEqual([4])
  expect(turnOffsets('the cat', words, [...A, [3, 'b']])).toEqual([0]) // the words are of another text
})

it('has a letter or a number for everybody', () => {
  expect([initialOf(' anna', 1), initialOf('李雷', 2), initialOf('', 3), initialOf('😀x', 4)]).toEqual([
    'A',
    '李',
    '3',
    '😀',
  ])
})

it('shows at once what operations will make of the speakers', () => {
  const before = [speaker('s1', 0), speaker('s2', 1)]
  const after = afterOperations(before, [
    { op: 'name_speaker', id: 's2', name: ' Bo ' },
    { op: 'name_speaker', id: 'p1', name: 'Cy' },
    { op: 'speaker' },
    { op: 'join_speakers', id: 's1', into: 's2' },
  ])
  expect(after).toEqual([
    speaker('s1', 0, { merged_into: 's2' }),
    speaker('s2', 1, { name: 'Bo' }),
    speaker('p1', 2, { name: 'Cy' }),
  ])
  expect(shownSpeakers(after).map(({ id }) => id)).toEqual(['s2', 'p1'])
  const back = afterOperations(after, [
    { op: 'join_speakers', id: 's1', into: null },
    { op: 'name_speaker', id: 's2', name: '' },
    { op: 'remove_speaker', id: 'p1' },
  ])
  expect(back).toEqual(before)
})
