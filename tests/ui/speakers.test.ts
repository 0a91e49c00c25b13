// Who speaks where: the same cases as the service has, and what the page makes of them.
import { readFileSync } from 'node:fs'
import turnCases from './turns.json'
import {
  afterOperations,
  COLOURS,
  initialOf,
  isChange,
  resolver,
  shownSpeakers,
  tallies,
  turnOffsets,
  turnsOf,
  untilChange,
  type Speaker,
  type Timeline,
  type Turn,
} from '../../static/src/edit/speakers.ts'

const speaker = (id: string, position: number, more: Partial<Speaker> = {}): Speaker => ({
  ...{ id, position, name: '', colour: position, merged_into: null, found: false },
  ...more,
})
const said = (start: number, words: number[], chosen: string | null = null) => ({
  start,
  end: words.length ? words.at(-1)! + 0.25 : start + 2,
  speaker: chosen,
  words: words.map((at) => ({ start: at, end: at + 0.25 })),
})

it.each(turnCases)('tells whose words they are: $name', ({ line, timeline, speakers, turns }) => {
  const resolve = resolver(Object.entries(speakers).map(([id, into], at) => speaker(id, at, { merged_into: into })))
  expect(turnsOf(said(line.start, line.words, line.speaker), timeline as unknown as Timeline, resolve)).toEqual(turns)
})

it('ends the search for a merged speaker even where the merges go round', () => {
  const resolve = resolver([speaker('a', 0, { merged_into: 'b' }), speaker('b', 1, { merged_into: 'a' })])
  expect(['a', 'b']).toContain(resolve('a'))
})

const A: Turn[] = [[0, 'a']]
const B: Turn[] = [[0, 'b']]
const AB: Turn[] = [...A, [2, 'b']]
const LATE: Turn[] = [[1, 'b']] // nobody is known for its first word

it('says who speaks at each change, also behind a line that changes inside', () => {
  const turns = [A, A, AB, B, A, [], [], A]
  expect(turns.map((_, at) => isChange(turns, at))).toEqual([true, false, true, false, true, true, false, true])
})

it('goes from a line on until another one speaks', () => {
  const turns = [A, A, A, AB, B, [], [], LATE, B]
  expect(turns.map((_, at) => untilChange(turns, at))).toEqual([3, 3, 3, 4, 5, 7, 7, 8, 9])
})

it('counts lines and the seconds of the words, a line of two for both', () => {
  const lines = [said(0, [0, 1]), said(2, [2, 3, 4]), said(6, [])]
  const found = tallies(lines, [A, AB, B])
  expect(Object.fromEntries(found)).toEqual({ a: { lines: 2, seconds: 1 }, b: { lines: 2, seconds: 2.25 } })
  const back = tallies([said(0, [0, 1, 2, 3])], [[...AB, [3, 'a']]])
  expect(Object.fromEntries(back)).toEqual({ a: { lines: 1, seconds: 0.75 }, b: { lines: 1, seconds: 0.25 } })
})

it('finds the beginnings of turns in the text', () => {
  const words = [' the', ' cat', ' the', ' dog'].map((word) => ({ word }))
  expect(turnOffsets('the cat the dog', words, [...A, [2, 'b']])).toEqual([0, 8])
  expect(turnOffsets('the cat the dog', words, [...A, [1, 'b'], [3, 'a']])).toEqual([0, 4, 12])
  expect(
    turnOffsets(
      '你好世界',
      ['你好', '世界'].map((word) => ({ word })),
      [...A, [1, 'b']],
    ),
  ).toEqual([0, 2])
  expect(turnOffsets('the cat the dog', words, LATE)).toEqual([4])
  expect(turnOffsets('the cat', words, [...A, [3, 'b']])).toEqual([0]) // the words are of another text
})

it('has a letter or a number for everybody', () => {
  expect([initialOf(' anna', 1), initialOf('李雷', 2), initialOf('', 3), initialOf('😀x', 4)]).toEqual([
    'A',
    '李',
    '3',
    '😀',
  ])
})

it('shows at once what operations will make of the speakers', () => {
  const before = [speaker('s1', 0), speaker('s2', 1)]
  const after = afterOperations(before, [
    { op: 'name_speaker', id: 's2', name: ' Bo ' },
    { op: 'name_speaker', id: 'p1', name: 'Cy' },
    { op: 'speaker' },
    { op: 'join_speakers', id: 's1', into: 's2' },
  ])
  expect(after).toEqual([
    speaker('s1', 0, { merged_into: 's2' }),
    speaker('s2', 1, { name: 'Bo' }),
    speaker('p1', 2, { name: 'Cy' }),
  ])
  expect(shownSpeakers(after).map(({ id }) => id)).toEqual(['s2', 'p1'])
  const back = afterOperations(after, [
    { op: 'join_speakers', id: 's1', into: null },
    { op: 'name_speaker', id: 's2', name: '' },
    { op: 'remove_speaker', id: 'p1' },
  ])
  expect(back).toEqual(before)
})

describe('the colours', () => {
  const css = readFileSync(new URL('../../static/src/edit/speakers.css', import.meta.url), 'utf8')
  const long = (hex: string) =>
    hex.length === 4 ? `#${[...hex.slice(1)].map((digit) => digit + digit).join('')}` : hex
  const both = (text: string) => {
    const found = [...text.matchAll(/#[0-9a-f]{3,6}/g)].map(([hex]) => long(hex))
    return [found[0]!, found.at(-1)!] as const // light, dark
  }
  const variables = (name: string) =>
    [...css.matchAll(new RegExp(`--${name}: (.*);`, 'g'))].map(([, value]) => both(value!))
  const [plainInk] = variables('on-speaker')
  const slots = [...css.matchAll(/\n {2}[^\n{]*\{\n {4}--speaker: (.*);\n(?: {4}--on-speaker: (.*);\n)?/g)].map(
    ([, colour, ink]) => ({ colour: both(colour!), ink: ink ? both(ink) : plainInk! }),
  )
  const luminance = (hex: string) => {
    const [r, g, b] = [1, 3, 5].map((at) => {
      const part = parseInt(hex.slice(at, at + 2), 16) / 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    }) as [number, number, number]
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const contrast = (a: string, b: string) => {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number]
    return (light + 0.05) / (dark + 0.05)
  }
  const lightness = (hex: string) => 116 * Math.cbrt(luminance(hex)) - 16

  it.each([
    ['light', 0, ['#ffffff', '#f7f7f5', '#e6f2ed']],
    ['dark', 1, ['#1b1e22', '#131518', '#17322a']],
  ] as const)('have a lightness each, are seen on every ground, and carry their letter: %s', (_, theme, grounds) => {
    expect(slots.length).toBe(COLOURS)
    for (const { colour, ink } of slots) {
      expect(contrast(colour[theme], ink[theme]), colour[theme]).toBeGreaterThanOrEqual(4.5)
      for (const ground of grounds) expect(contrast(colour[theme], ground), colour[theme]).toBeGreaterThanOrEqual(3)
    }
    const steps = slots.map(({ colour }) => lightness(colour[theme])).sort((a, b) => a - b)
    for (let at = 1; at < steps.length; at += 1) expect(steps[at]! - steps[at - 1]!).toBeGreaterThan(3)
  })
})
