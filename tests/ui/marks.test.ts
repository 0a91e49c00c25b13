// Marks follow their words as the service says: the same cases as tests/unit/editing/test_marks.py.
import shared from './marks.json'
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
