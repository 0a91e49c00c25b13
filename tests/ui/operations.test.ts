// What operations do to lines, as the page shows it at once: the same cases as tests/unit/editing/test_shared_operations.py.
import shared from '../unit/editing/operations.json'
import { apply, Refused } from '../../static/src/edit/apply.ts'
import { LineList } from '../../static/src/edit/lines.ts'

const { lines: said, cases } = shared as any
const near = (time: number) => expect.closeTo(time, 5)
const told = ({ id, version, content, position, text, speaker, held, checked, source, start, end, words }: any) => {
  const same = { id, version, content, position, text, speaker, held, checked, source, start, end }
  return { ...same, words: words.map((word: any) => [word.start, word.end, word.word, word.by]) }
}
const expected = ({ start, end, words, ...same }: any) => ({
  ...same,
  start: near(start),
  end: near(end),
  words: words.map(([first, last, word, by]: any) => [near(first), near(last), word, by]),
})
const undone = (operation: any) =>
  operation.op === 'put' ? { ...operation, lines: operation.lines.map(({ id }: any) => id) } : operation
const places = (lines: any[]) => lines.map(({ id, text, start, end }) => [id, text, start, end])

it.each(cases as any[])('operations: $name', ({ operations, refused, order, lines: changed, gone, inverse }) => {
  const lines = new LineList(said)
  if (refused) {
    expect(() => apply(lines, operations)).toThrow(new Refused(refused))
    return
  }
  const back = apply(lines, operations)
  expect(lines.items.map(({ id }) => id)).toEqual(order)
  lines.mark()
  expect(changed.map(({ id }: any) => told(lines.get(id)))).toEqual(changed.map(expected))
  expect(said.filter(({ id }: any) => !lines.get(id)).map(({ id }: any) => id)).toEqual(gone)
  const same = said.filter(({ id }: any) => lines.get(id) && !changed.some((line: any) => line.id === id))
  expect(same.every((line: any) => lines.get(line.id) === line)).toBe(true)
  expect(back.map(undone)).toEqual(inverse)
  if (back.length) apply(lines, back)
  expect(places(lines.items)).toEqual(places(said))
})

it('takes a heard segment for the line that it is until somebody changes it', () => {
  const segment = { chunk: 3, index: 1, start: 0, end: 1, text: ' So', words: [], language: null, speaker: null } as any
  const [line] = new LineList([segment]).items
  expect(line).toMatchObject({ id: 'c3.1', version: 0, content: 0, position: 1, text: ' So', source: 'machine' })
  expect(new LineList([segment]).items[0]).toBe(line) // so that it is not drawn again
})

it('makes room between two lines again and again', () => {
  const words = Array.from({ length: 90 }, () => 'so')
  const lines = new LineList([{ ...said[0], text: words.join(' '), words: [] }, said[1]])
  let id = 'c0.0'
  for (const at of words.slice(1).keys()) {
    apply(lines, [{ op: 'split', id, v: lines.get(id)!.version, at: 2, new: `n${at}` }])
    id = `n${at}`
  }
  expect(lines.items.slice(0, -1).map(({ text }) => text)).toEqual(words)
  expect(lines.items.at(-1)!.id).toBe('c0.1')
})
