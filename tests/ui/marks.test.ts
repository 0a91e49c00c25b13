// Marks follow their words as the service says: the same cases as tests/unit/editing/test_marks.py.
import shared from './marks.json'
import { anchorOf, shownAt, stretchesOf, withOperations } from '../../static/src/edit/mark_places.ts'
import { follow, wordsOf } from '../../static/src/edit/marks.ts'

const linesOf = (lines: any[]) => lines.map(([id, text]) => ({ id, text }))
const anchor = ([line, at]: any) => ({ line, at })
const mark = (first: any, last: any, more = {}) =>
  ({ id: 'm', kind: 'highlight', first, last, colour: 1, text: '', lost: '', author: '', at: 0, ...more }) as any

it.each(shared as any[])('marks: $name', ({ before, after, first, last, bookmark, is_first, is_last, lost }) => {
  const was = mark(anchor(first), anchor(last), bookmark && { kind: 'bookmark' })
  const [now] = follow([was], linesOf(before), linesOf(after))
  expect(now).toEqual({ ...was, first: anchor(is_first), last: anchor(is_last), lost })
  if (JSON.stringify([first, last]) === JSON.stringify([is_first, is_last]) && !lost) expect(now).toBe(was)
})

it('joins the words of a mark as their script wants', () => {
  const lines = linesOf([
    ['a', 'for you all.'],
    ['b', '那么苹果呢？'],
    ['c', 'We go.'],
  ])
  const over = mark({ line: 'a', at: 4 }, { line: 'c', at: 2 })
  expect(wordsOf(over, lines)).toBe('you all. 那么苹果呢？ We')
  expect(wordsOf(mark({ line: 'b', at: 2 }, { line: 'b', at: 4 }), lines)).toBe('苹果')
  expect(wordsOf(mark({ line: 'b', at: 2 }, { line: 'b', at: 2 }, { kind: 'bookmark' }), lines)).toBe('那么苹果呢？')
  expect(wordsOf(mark({ line: 'x', at: 2 }, { line: 'b', at: 2 }), lines)).toBe('')
})

const said = (id: string, text: string) => ({ id, text }) as any

it('counts code points in places and UTF-16 units on the page', () => {
  const line = said('a', ' 😀 old cat')
  expect(anchorOf(line, 3)).toEqual({ line: 'a', at: 3 }) // a space and the smile before it are three units
  expect(shownAt(line, 3)).toBe(3)
  expect(shownAt(line, 0)).toBe(0)
  expect(shownAt(line, 99)).toBe('😀 old cat'.length)
})

it('covers the words of a mark line by line', () => {
  const lines = [said('a', 'one two'), said('b', ' three'), said('c', 'four')]
  const indexOf = (id: string) => lines.findIndex((line) => line.id === id)
  const over = mark({ line: 'a', at: 4 }, { line: 'c', at: 2 })
  expect(stretchesOf([over], lines, indexOf)).toEqual([
    [0, 4, 7],
    [1, 0, 5],
    [2, 0, 2],
  ])
  const nowhere = [
    { ...over, lost: 'two' },
    { ...over, kind: 'bookmark' },
    mark({ line: 'x', at: 0 }, { line: 'c', at: 2 }),
    mark({ line: 'c', at: 0 }, { line: 'a', at: 2 }),
  ]
  expect(stretchesOf(nowhere as any, lines, indexOf)).toEqual([])
})

it('shows what this tab does with marks at once', () => {
  const place = { line: 'a', at: 0 }
  const made = {
    op: 'mark',
    id: 'n',
    kind: 'note',
    first: place,
    last: { line: 'a', at: 3 },
    colour: 2,
    text: '',
  } as any
  const operations = [
    made,
    { op: 'text', id: 'a', v: 0, text: 'x' },
    { op: 'change_mark', id: 'n', text: 'Hm.' },
  ] as any
  const now = withOperations([mark(place, place)], operations)
  expect(now.map(({ id, colour, text, lost }) => [id, colour, text, lost])).toEqual([
    ['m', 1, '', ''],
    ['n', 2, 'Hm.', ''],
  ])
  expect(withOperations(now, [made]).length).toBe(2) // the service has it already
  expect(withOperations(now, [{ op: 'unmark', ids: ['m', 'x'] } as any]).map(({ id }) => id)).toEqual(['n'])
  expect(withOperations(now, [{ op: 'change_mark', id: 'n', colour: 5, text: null } as any])[1]).toMatchObject({
    colour: 5,
    text: 'Hm.',
  })
})
