// A phrase in lines: the same cases as tests/unit/editing/test_matching.py.
import cases from '../unit/editing/find.json'
import { Finder, occurrences } from '../../static/src/edit/find.ts'
import { isLongEnough, stretchesOf } from '../../static/src/edit/hits.ts'
import { withReplacement } from '../../static/src/edit/replacing.ts'

const VARIANTS = new Map([...'蘋苹發发髮发頭头現现'].flatMap((one, at, all) => (at % 2 ? [] : [[one, all[at + 1]!]])))

it.each(cases)('finds: $name', ({ text, find, case: matchCase, whole, scripts, parts }) => {
  const found = occurrences(text, { text: find, case: matchCase, whole }, scripts ? VARIANTS : undefined)
  const bounds = [0, ...found.flat(), text.length]
  expect(bounds.slice(1).map((to, at) => text.slice(bounds[at], to))).toEqual(parts)
})

it('replaces each find', () => {
  const text = 'The pound, pound!'
  expect(withReplacement(text, occurrences(text, { text: 'pound' }), 'hash')).toBe('The hash, hash!')
  expect(withReplacement(text, [], 'hash')).toBe(text)
})

const lines = (...texts: string[]) => texts.map((text) => ({ text }))
const find = (texts: string[], text: string, whole = false) => new Finder().find(lines(...texts), { text, whole })

it('finds in the shown text of each line, from two characters or one Chinese one', () => {
  expect(find([' Hello there ', 'hello'], 'hel')).toEqual([
    { segment: 0, from: 0, to: 3 },
    { segment: 1, from: 0, to: 3 },
  ])
  expect(find(['a a'], 'a')).toEqual([])
  expect([isLongEnough('a'), isLongEnough('苹'), isLongEnough('ab')]).toEqual([false, true, true])
})

it('finds over the edge of two lines, with the space that stands between them', () => {
  expect(find(['the pound', 'key now'], 'pound key')).toEqual([{ segment: 0, from: 4, to: 9, over: 3 }])
  expect(find(['the pound', 'key now'], 'poundkey')).toEqual([])
  expect(find(['我吃苹', '果派'], '苹果')).toEqual([{ segment: 0, from: 2, to: 3, over: 1 }])
  expect(find(['part', 'key'], 'art key', true).filter(({ over }) => over)).toEqual([])
})

it('finds the words of a phrase that does not occur, each place once', () => {
  expect(find(['key pound', 'pounds'], 'pound key')).toEqual([
    { segment: 0, from: 0, to: 3, part: true },
    { segment: 0, from: 4, to: 9, part: true },
    { segment: 1, from: 0, to: 5, part: true },
  ])
})

it('takes the longest of words at one place, and each word at its own', () => {
  expect(find(['the zebra and the horse', 'Horse', 'a zebrahorse'], 'zebrahorse zebra')).toEqual([
    { segment: 0, from: 4, to: 9, part: true },
    { segment: 2, from: 2, to: 12, part: true },
  ])
})

it('marks a find in both lines that it is in', () => {
  expect(stretchesOf({ segment: 3, from: 4, to: 9 })).toEqual([[3, 4, 9]])
  expect(stretchesOf({ segment: 3, from: 4, to: 9, over: 2 })).toEqual([
    [3, 4, 9],
    [4, 0, 2],
  ])
})

it('looks at a line again when its text or the options changed', () => {
  const finder = new Finder()
  const [line] = lines('One')
  expect(finder.find([line!], { text: 'one' })).toHaveLength(1)
  expect(finder.find([line!], { text: 'one', case: true })).toHaveLength(0)
  line!.text = 'one'
  expect(finder.find([line!], { text: 'one', case: true })).toHaveLength(1)
  expect(finder.find(lines('蘋果'), { text: '苹果' })).toHaveLength(0)
  expect(finder.find(lines('蘋果'), { text: '苹果' }, VARIANTS)).toHaveLength(1)
})
