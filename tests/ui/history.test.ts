// The history of changes as people read it.
import { byDay, labelOf, pieces } from '../../static/src/edit/history.ts'

const marked = (before: string | null, after: string | null) =>
  pieces(before, after)
    .map(({ text, what }) => (what === 'same' ? text : what === 'del' ? `[-${text}]` : `[+${text}]`))
    .join('')

it.each([
  ['The pound key.', 'The hash key.', 'The[- pound][+ hash] key.'],
  ['我们用平果。', '我们用苹果。', '我们用[-平][+苹]果。'],
  [null, 'new', '[+new]'],
  ['gone', null, '[-gone]'],
  [' one ', 'one two', 'one[+ two]'],
  ['same', 'same', 'same'],
])('%s → %s', (before, after, expected) => {
  expect(marked(before, after)).toBe(expected)
})

it('names what was done', () => {
  const label = (kind: string, lines: number, ...names: string[]) =>
    labelOf({ kind, lines, operations: names.map((op) => ({ op })) } as any)
  expect(label('edit', 1, 'text')).toBe('change_text')
  expect(label('edit', 3, 'text', 'text')).toBe('change_replaced')
  expect(label('edit', 2, 'split')).toBe('change_split')
  expect(label('edit', 2, 'split', 'text')).toBe('change_other')
  expect(label('edit', 0, 'name_speaker')).toBe('change_speaker')
  expect(label('edit', 0, 'put_marks')).toBe('change_marks')
  expect(label('undo', 1, 'put')).toBe('change_undo')
  expect(label('restore', 1, 'put', 'speaker')).toBe('change_restore')
  expect(label('vocabulary', 4, 'text')).toBe('change_replaced')
  expect(label('align', 1, 'align')).toBe('change_aligned')
})

it('puts edits of a day together', () => {
  const edits = [{ at: 30 }, { at: 29 }, { at: 11 }, { at: 9 }]
  const days = byDay(edits, (at) => `day ${Math.floor(at / 10)}`)
  expect(days.map(({ day, edits: those }) => [day, those.length])).toEqual([
    ['day 3', 1],
    ['day 2', 1],
    ['day 1', 1],
    ['day 0', 1],
  ])
})
