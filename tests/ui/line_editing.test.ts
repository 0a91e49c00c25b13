import { movedCaret } from '../../static/src/edit/caret.ts'
import { pauseBehind } from '../../static/src/edit/line_acts.ts'
import { differences, originalOf } from '../../static/src/edit/original.ts'
import { linesOf, pastedLines } from '../../static/src/edit/pasted.ts'
import { actionOfKey, chordOf, keyLabel } from '../../static/src/keys.ts'
import { withNewLine } from '../../static/src/transcript_text.ts'
import { choiceOperations, withDoubles } from '../../static/src/edit/doubles.ts'

const press = (code: string, more: object = {}) => ({
  code,
  key: '',
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  shiftKey: false,
  isComposing: false,
  keyCode: 0,
  ...more,
})
const line = (id: string, start: number, end: number, text: string, more: object = {}) =>
  ({ id, chunk: 0, index: 0, version: 0, source: 'machine', start, end, text, words: [], ...more }) as any

it('leaves the caret at its place when the text becomes another one', () => {
  expect(movedCaret('one two', 'one big two', 2)).toBe(2) // before the change
  expect(movedCaret('one two', 'one big two', 7)).toBe(11) // behind it
  expect(movedCaret('one two three', 'one 2 three', 6)).toBe(5) // inside it
  expect(movedCaret('', 'new', 0)).toBe(0)
})

it('pastes lines without empty ones, and puts the ends of the text around them', () => {
  expect(linesOf(' first\r\n\r\n\tsecond\u2028third\n')).toEqual(['first', 'second', 'third'])
  expect(pastedLines('before behind', [7, 7], ['one', 'two', 'three'])).toEqual(['before one', 'two', 'threebehind'])
  expect(pastedLines('abc', [0, 3], ['one', 'two'])).toEqual(['one', 'two'])
})

it('puts a new line into the pause behind a line', () => {
  const lines = [line('a', 0, 10, ''), line('b', 13, 20, ''), line('c', 20.1, 21, '')]
  expect(pauseBehind(lines, 'a')).toEqual({ start: 10, end: 13 })
  expect(pauseBehind(lines, 'b')).toEqual({ start: 20, end: 20.5 }) // there is none
  expect(pauseBehind(lines, 'c')).toEqual({ start: 21, end: 25 })
  expect(pauseBehind(lines, null)).toEqual({ start: 0, end: 0.5 })
  expect(pauseBehind([], null)).toEqual({ start: 0, end: 4 })
})

it('shows a new line behind another one until it is one of the lines', () => {
  const rows = [{ key: 'a' }, { key: 'b' }]
  const fresh = { id: 'n', after: 'a', start: 1, end: 2 }
  expect(withNewLine(rows, fresh).map(({ key }) => key)).toEqual(['a', 'n', 'b'])
  expect(withNewLine(rows, { ...fresh, after: null }).map(({ key }) => key)).toEqual(['n', 'a', 'b'])
  expect(withNewLine([...rows, { key: 'n' }], fresh)).toHaveLength(3)
})

it('marks what a person wrote where a retry found text, and not what was split', () => {
  const mine = line('n1', 10, 20, 'typed', { source: 'person', version: 1 })
  const row = (one: any) => ({ key: one.id, line: one })
  const marked = (...lines: any[]) => withDoubles(lines.map(row)).flatMap(({ key, double }) => (double ? [key] : []))
  expect(marked(mine, line('c1.0', 11, 21, 'heard', { chunk: 1 }))).toEqual(['n1'])
  expect(marked(mine, line('c1.0', 18, 28, 'heard', { chunk: 1 }))).toEqual([]) // they only touch
  expect(marked(mine, line('c0.1', 11, 21, 'the other half'))).toEqual([])
  expect(
    marked(mine, line('c1.0', 10, 13, 'heard', { chunk: 1 }), line('c1.1', 14, 18, 'in parts', { chunk: 1 })),
  ).toEqual(['n1'])
  expect(marked({ ...mine, checked: true }, line('c1.0', 11, 21, 'heard', { chunk: 1 }))).toEqual([]) // both are kept
})

it('keeps what a person wrote where a retry found text, or what was recognised, or both', () => {
  const mine = line('n1', 10, 20, 'typed', { source: 'person', version: 3 })
  const lines = [
    line('c0.0', 4, 11, 'before', { chunk: 2 }), // it only reaches into the line
    mine,
    line('c1.0', 11, 14, 'heard', { chunk: 1 }),
    line('c1.1', 15, 19, 'in parts', { chunk: 1 }),
    line('c2.0', 30, 35, 'later', { chunk: 2 }),
  ]
  expect(choiceOperations(lines, 'n1', 'mine')).toEqual([
    { op: 'delete', id: 'c1.0', v: 0 },
    { op: 'delete', id: 'c1.1', v: 0 },
  ])
  expect(choiceOperations(lines, 'n1', 'recognized')).toEqual([{ op: 'delete', id: 'n1', v: 3 }])
  expect(choiceOperations(lines, 'n1', 'both')).toEqual([{ op: 'check', ids: ['n1'], on: true }])
  expect(choiceOperations(lines.slice(0, 2), 'n1', 'mine')).toEqual([])
  expect(choiceOperations(lines, 'c1.0', 'mine')).toEqual([])
})

it('finds the original of a line, and what is otherwise now', () => {
  const original = [line('c0.0', 0, 5, 'Please call Stella.'), line('c0.1', 5, 9, 'One two.')]
  const split = [line('c0.0', 0, 3, 'Please call'), line('n', 3, 5, 'Bella.'), line('c0.1', 5, 9, 'One two.')]
  expect(originalOf(split[1], original)).toBe('Please call Stella.')
  expect(differences(original, split)).toEqual([[0, 12, 19]])
  expect('Please call Stella.'.slice(12, 19)).toBe('Stella.')
  expect(differences(original, original)).toEqual([])
})

it('knows keys with modifiers by their letter, and others by their place', () => {
  expect(actionOfKey(press('KeyY', { key: 'z', ctrlKey: true }), 'typing')).toBe('undo') // a German keyboard
  expect(actionOfKey(press('KeyZ', { key: 'Z', ctrlKey: true, shiftKey: true }), 'typing')).toBe('redo')
  expect(actionOfKey(press('KeyK', { key: '˚', altKey: true }), 'typing')).toBe('play')
  expect(actionOfKey(press('KeyK', { key: 'k' }), 'typing')).toBeNull() // a letter is a letter
  expect(actionOfKey(press('KeyK', { key: 'K', shiftKey: true }))).toBe('play')
  expect(chordOf(press('ShiftLeft', { shiftKey: true }))).toBeNull()
})

it('takes the keys that a person set instead of its own, and those of a pedal only if they are on', () => {
  const own = { 'typing.play': ['Alt+KeyQ'] }
  expect(actionOfKey(press('KeyQ', { altKey: true }), 'typing', own)).toBe('play')
  expect(actionOfKey(press('KeyK', { altKey: true }), 'typing', own)).toBeNull()
  expect(actionOfKey(press('F5'), 'typing')).toBeNull()
  expect(actionOfKey(press('F5'), 'typing', {}, true)).toBe('forward_5')
  expect(keyLabel('Alt+KeyQ', 'Space')).toBe('Alt+Q')
  expect(keyLabel('Space', 'Space')).toBe('Space')
})
