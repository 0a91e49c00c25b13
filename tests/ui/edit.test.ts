// The rules of editing that the page and the service share: the same cases as tests/unit/editing.
import mergeCases from './merge.json'
import retimeCases from '../unit/editing/retime.json'
import splitCases from '../unit/editing/split.json'
import { differing } from '../../static/src/edit/difference.ts'
import { mergeTexts } from '../../static/src/edit/merge.ts'
import { retime } from '../../static/src/edit/retime.ts'
import { joint, splitWords, wordKey } from '../../static/src/edit/words.ts'

it.each(splitCases)('cuts $text', ({ text, words }) => {
  expect(splitWords(text)).toEqual(words)
  expect(splitWords(`${text} é`)).toEqual(splitWords(`${text} e`).map((word) => word.replace(/ e$/, ' é')))
})

it('knows a word again without case, width and marks', () => {
  expect([' Hello,', 'ＨＥＬＬＯ', '…'].map(wordKey)).toEqual(['hello', 'hello', '...'])
})

it('joins two lines with a space unless the script has none', () => {
  expect([joint('one.', 'Two'), joint('你好。', '再见'), joint('你好', 'OK')]).toEqual([' ', '', ' '])
})

it.each(mergeCases)('merges: $name', ({ base, mine, theirs, merged }) => {
  expect(mergeTexts(base, mine, theirs)).toBe(merged)
  expect(mergeTexts(base, theirs, mine)).toBe(merged)
})

it('tells what a text has that another one has not', () => {
  const parts = differing(splitWords('Please call her now'), splitWords('Please recall her, now'))
  expect(parts.map(({ text, changed }) => (changed ? `[${text}]` : text)).join('')).toBe('Please[ recall her,] now')
  expect(differing([], [])).toEqual([])
})

it.each(retimeCases)('times: $name', ({ words, text, expected }) => {
  const old = words.map(([start, end, word]) => ({ start, end, word, probability: 0.5, by: 'machine' }) as any)
  const found = retime(old, text, 0, 10)
  expect(found.map(({ word, by }) => [word, by])).toEqual(expected.map(([, , word, by]) => [word, by]))
  found.forEach(({ start, end }, at) => {
    expect(start).toBeCloseTo(expected[at]![0] as number, 5)
    expect(end).toBeCloseTo(expected[at]![1] as number, 5)
  })
})

it('keeps every word to the bit when the text did not change', () => {
  const words = splitWords(' 在2024年，iPhone now.').map((word, at) => ({
    start: at / 3,
    end: at / 3 + 0.1,
    word,
    probability: 0.3,
  }))
  expect(retime(words, '在2024年，iPhone now.', 0, 99)).toEqual(words)
})
