import { indexAt, rowsOf, toBlocks, wordAt, wordRange } from '../../static/src/transcript_text.ts'

const word = (text: string, start: number) => ({ word: text, start, end: start + 1, probability: 1 })
const segment = {
  text: ' the cat the dog',
  words: [word(' the', 0), word(' cat', 1), word(' the', 2), word(' dog', 3)],
} as any

it('finds the line of a time', () => {
  const lines = [{ start: 0 }, { start: 5 }, { start: 9 }]
  expect([-1, 0, 4.9, 5, 100].map((time) => indexAt(lines, time))).toEqual([-1, 0, 0, 1, 2])
})

it('finds the spoken word, also if the word occurs twice', () => {
  expect(wordRange(segment, 2.5)).toEqual([8, 11])
  expect(wordRange(segment, 9)).toBeNull()
})

it('finds the word at a place of the text', () => {
  expect([0, 3, 5, 8, 14].map((offset) => wordAt(segment, offset)?.start)).toEqual([0, 1, 1, 2, 3])
})

it('puts gaps in their places', () => {
  const lines = [
    { chunk: 0, index: 0, start: 1 },
    { chunk: 2, index: 0, start: 30 },
  ] as any
  const made = rowsOf(lines, [
    { start: 90, end: 99, reason: '' },
    { start: 10, end: 20, reason: '' },
  ])
  expect(made.map((row) => row.gap?.start ?? row.key)).toEqual(['c0.0', 10, 'c2.0', 90])
})

it('uses a block again if nothing in it changed', () => {
  const lines = Array.from({ length: 60 }, (_, index) => ({ chunk: index, index: 0, start: index })) as any[]
  const before = toBlocks(rowsOf(lines, []))
  expect(before.map((block) => block.length)).toEqual([25, 25, 10])
  const same = (after: unknown[]) => before.map((block, nth) => block === after[nth])
  expect(same(toBlocks(rowsOf(lines, []), before))).toEqual([true, true, true])
  expect(same(toBlocks(rowsOf([...lines, { chunk: 60, index: 0, start: 60 } as any], []), before))).toEqual([
    true,
    true,
    false,
  ])
  expect(same(toBlocks(rowsOf(lines.with(30, { ...lines[30] }), []), before))).toEqual([true, false, true])
  const heads = (name: string) =>
    lines.map((_, at) => (at === 40 ? ({ key: name, faces: [], parts: [] } as any) : null))
  const headed = toBlocks(rowsOf(lines, [], heads('Anna')), before)
  expect(same(headed)).toEqual([true, false, true])
  expect(toBlocks(rowsOf(lines, [], heads('Anna')), headed).every((block, nth) => block === headed[nth])).toBe(true)
  expect(toBlocks(rowsOf(lines, [], heads('Bo')), headed)[1] === headed[1]).toBe(false)
  expect(same(toBlocks(rowsOf(lines, [{ start: 20.5, end: 21, reason: '' }]), before))).toEqual([false, true, true])
})

it('changes one block where a line is split, joined or deleted', () => {
  const line = (chunk: number, index = 0) => ({ chunk, index, start: chunk }) as any
  const lines = Array.from({ length: 100 }, (_, index) => line(index))
  const before = toBlocks(rowsOf(lines, []))
  const changed = (after: (typeof lines)[0][]) => {
    const blocks = toBlocks(rowsOf(after, []), before)
    expect(blocks.flat().map(({ line: one }) => one)).toEqual(after)
    return blocks.filter((block) => !before.includes(block)).map((block) => block.length)
  }
  expect(changed(lines.toSpliced(30, 0, line(29, 1)))).toEqual([26])
  expect(changed(lines.toSpliced(30, 1))).toEqual([24])
  expect(changed(lines.toSpliced(25, 1))).toEqual([49]) // the first of a block: its rows join the block before
  const many = Array.from({ length: 40 }, (_, index) => line(29, 1 + index))
  expect(changed(lines.toSpliced(30, 0, ...many))).toEqual([50, 15])
  expect(changed([])).toEqual([])
})
