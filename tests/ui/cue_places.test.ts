// Where a stretch of a line stands in the rows of a subtitle.
import { rowStretches } from '../../static/src/edit/cue_places.ts'
import type { Cue } from '../../static/src/edit/cue.ts'

const TEXTS: Record<string, string> = { a: '😀 Nobody had seen  the boat', b: 'for days.', c: '苹果 好' }
const cue = (
  rows: string[],
  parts: [line: string, begin: number, end: number][],
  speaker: string | null = null,
): Cue => ({
  ...{
    key: 'a',
    lines: parts.map(([line]) => line),
    start: 0,
    end: 1,
    held: false,
    gap: false,
    speed: 1,
    problems: [],
  },
  ...{ parts: parts.map(([line, begin, end]) => ({ line, begin, end })), rows, text: rows.join(' '), speaker },
})
const shown = (of: Cue, line: string, words: string): string[] => {
  const from = TEXTS[line]!.indexOf(words)
  const found = rowStretches(of, line, [from, from + words.length], (id) => TEXTS[id]!)
  return found.map(([row, first, last]) => of.rows[row]!.slice(first, last))
}

it('finds words in rows whose spaces are others, and over the end of a row', () => {
  const one = cue(
    ['😀 Nobody had', 'seen the boat', 'for days.'],
    [
      ['a', 0, 27],
      ['b', 0, 9],
    ],
  )
  expect(shown(one, 'a', 'Nobody')).toEqual(['Nobody'])
  expect(shown(one, 'a', 'seen  the')).toEqual(['seen the'])
  expect(shown(one, 'a', 'had seen')).toEqual(['had', 'seen'])
  expect(shown(one, 'b', 'days.')).toEqual(['days.'])
})

it('shows only what is in the subtitle, behind the name of who speaks', () => {
  const second = cue(['Anna: seen', 'the boat'], [['a', 13, 27]], 'Anna')
  expect(shown(second, 'a', 'had seen')).toEqual(['seen'])
  expect(shown(second, 'a', 'Nobody')).toEqual([])
  expect(shown(second, 'b', 'days.')).toEqual([])
  expect(shown(second, 'a', 'the boat')).toEqual(['the boat'])
})

it('counts characters of all scripts', () => {
  expect(shown(cue(['苹果好'], [['c', 0, 4]]), 'c', '好')).toEqual(['好'])
})
