import { vi } from 'vitest'
import type { Job, Segment } from '../../static/src/types.ts'
vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined })
vi.stubGlobal('document', { documentElement: {}, createElement: () => ({}) })
vi.stubGlobal('navigator', { languages: ['en'] })
const { lookOf, openSession, paragraphsOf } = await import('../../static/src/live/captions.ts')
const { captionsTexts } = await import('../../static/src/i18n/captions.ts')

const USUAL = lookOf('')

it('looks as the address says', () => {
  expect(USUAL).toEqual({
    theme: 'dark',
    size: '7vh',
    lines: 0,
    align: 'start',
    color: '',
    ground: '',
    box: '',
    hide: 0,
    drafts: true,
  })
  const asked = 'theme=light&size=64&lines=2&align=center&color=fd0&ground=000000cc&box=0009&hide=7.5&drafts=0'
  expect(lookOf(`?${asked}`)).toEqual({
    theme: 'light',
    size: '64px',
    lines: 2,
    align: 'center',
    color: '#fd0',
    ground: '#000000cc',
    box: '#0009',
    hide: 7.5,
    drafts: false,
  })
  expect(lookOf('?size=4.5vw').size).toBe('4.5vw')
})

it.each([
  'theme=pink&size=huge&lines=many&align=left&color=red&ground=12345&box=%23000&hide=soon',
  'size=0&lines=-3&hide=-1&color=url(x)&ground=1;background:red&size=9e9px',
])('takes what makes no sense as if it were not there: %s', (search) => {
  expect(lookOf(search)).toEqual(USUAL)
})

it('has bounds', () => {
  expect(lookOf('lines=1e9&hide=1e9')).toEqual({ ...USUAL, lines: 50, hide: 3600 })
  expect(lookOf('lines=2.7').lines).toBe(2)
})

it('follows whoever speaks now, the newest first', () => {
  const job = (id: string, ended?: string | null) => ({ id, live: ended === undefined ? null : { ended } }) as Job
  expect(openSession([])).toBe(null)
  expect(openSession([job('5'), job('4', 'client')])).toBe(null)
  expect(openSession([job('5'), job('2', null), job('3', null), job('4', 'silence')])).toBe('3')
})

const line = (at: number, text: string, more: object = {}) =>
  ({ chunk: at, index: 0, start: 5 * at, end: 5 * at + 5, text, words: [], language: 'en', ...more }) as Segment
const read = (lines: Segment[], most = 9) =>
  paragraphsOf(lines, most).map(({ pieces }) => pieces.map(({ text }) => text).join(''))

it('joins lines into paragraphs, which pauses and speakers end', () => {
  const speaker = 'p1'
  const lines = [line(0, ' One,'), line(1, ' two.'), line(3, '三，'), line(4, '四。'), line(5, ' Five.', { speaker })]
  expect(read(lines)).toEqual(['One, two.', '三，四。', 'Five.'])
  expect(read(lines, 2)).toEqual(['三，四。', 'Five.'])
  expect(read([])).toEqual([])
})

it('changes the last paragraph only when a line is added', () => {
  const lines = Array.from({ length: 40 }, (_, at) => line(at, ' Forty characters of what somebody says.'))
  const before = paragraphsOf(lines, 3)
  const after = paragraphsOf([...lines, line(40, ' More.')], 3)
  expect(before.length).toBe(3)
  expect(after.slice(0, 2)).toEqual(before.slice(0, 2))
  expect(after[2]!.key).toBe(before[2]!.key)
  expect(after[2]!.pieces.slice(0, -1)).toEqual(before[2]!.pieces)
})

it('has its words in every language', () => {
  const { en, ...others } = captionsTexts
  for (const texts of Object.values(others)) expect(Object.keys(texts)).toEqual(Object.keys(en))
  for (const text of Object.values(captionsTexts.zh)) expect(text).toMatch(/\p{Script=Han}/u)
})
