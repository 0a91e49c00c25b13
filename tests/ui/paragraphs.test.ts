// Paragraphs of the page are those of files: the same cases as tests/unit/export/test_paragraphs.py.
import shared from './paragraphs.json'
import { beginnings, isTight, toParagraphs } from '../../static/src/edit/paragraphs.ts'

const textOf = (text: string | null) =>
  (text ?? '').replace(/(.)\*(\d+)/u, (_, one, count) => one.repeat(Number(count)))

it.each(shared as any[])('paragraphs: $name', ({ passages, paragraphs }) => {
  const found = passages.map(([start, end, text, speaker]: any, at: number) => ({
    start,
    end,
    text: textOf(text),
    speaks: at > 0 && speaker !== passages[at - 1][3],
    gap: text === null,
  }))
  expect(beginnings(found)).toEqual(paragraphs.map(([first]: number[]) => first))
})

it('uses a paragraph again in which nothing changed', () => {
  const row = (key: string, start: number, text: string) => ({ key, line: { start, end: start + 1, text } as any })
  const rows = [row('a', 0, '好。'), row('b', 1, 'Two.'), row('c', 9, 'Three.')]
  const before = toParagraphs(rows)
  expect(before.map((block) => block.map(({ key, tight }) => [key, tight ?? false]))).toEqual([
    [
      ['a', false],
      ['b', true],
    ],
    [['c', false]],
  ])
  const after = toParagraphs([rows[0]!, rows[1]!, row('c', 9, 'Other.')], before)
  expect(after[0]).toBe(before[0])
  expect(after[1]).not.toBe(before[1])
  expect(isTight('好。 ')).toBe(true)
  expect(isTight('那')).toBe(false)
})
