import { looksLikeMedia } from '../../static/src/media.ts'
import { meaning } from '../../static/src/keys.ts'
import { columns } from '../../static/src/peaks.ts'
import { at, blocks, find, placeOf, rows, wordAt, wordRange } from '../../static/src/transcript_text.ts'
import { rootOf } from '../../static/src/root.ts'

const word = (text: string, start: number) => ({ word: text, start, end: start + 1, probability: 1 })
const segment = { text: ' the cat the dog', words: [word(' the', 0), word(' cat', 1), word(' the', 2), word(' dog', 3)] } as any
const press = (code: string, more: object = {}) =>
  ({ code, key: '', ctrlKey: false, metaKey: false, altKey: false, isComposing: false, keyCode: 0, ...more })

it('finds the line of a time', () => {
  const lines = [{ start: 0 }, { start: 5 }, { start: 9 }]
  expect([-1, 0, 4.9, 5, 100].map((time) => at(lines, time))).toEqual([-1, 0, 0, 1, 2])
})

it('finds the word that sounds, also where a word occurs twice', () => {
  expect(wordRange(segment, 2.5)).toEqual([8, 11])
  expect(wordRange(segment, 9)).toBeNull()
})

it('finds the word at a place of the text', () => {
  expect([0, 3, 5, 8, 14].map((offset) => wordAt(segment, offset)?.start)).toEqual([0, 1, 1, 2, 3])
})

it('finds a phrase everywhere, whatever the case, in any script', () => {
  const lines = [{ text: ' Ab aB' }, { text: '今天天气' }] as any
  expect(find(lines, 'ab')).toEqual([{ segment: 0, from: 0, to: 2 }, { segment: 0, from: 3, to: 5 }])
  expect(find(lines, '天气')).toEqual([{ segment: 1, from: 2, to: 4 }])
  expect(find(lines, ' ')).toEqual([])
})

it('shows gaps where they are, with the index of every line unmoved', () => {
  const lines = [{ chunk: 0, index: 0, start: 1 }, { chunk: 2, index: 0, start: 30 }] as any
  const made = rows(lines, [{ start: 90, end: 99, reason: '' }, { start: 10, end: 20, reason: '' }])
  expect(made.map((row) => row.gap?.start ?? `line ${row.index}`)).toEqual(['line 0', 10, 'line 1', 90])
})

it('keeps every block of rows that did not change', () => {
  const lines = Array.from({ length: 60 }, (_, index) => ({ chunk: index, index: 0, start: index })) as any[]
  const before = blocks(rows(lines, []))
  expect(before.map((block) => block.length)).toEqual([25, 25, 10])
  const same = (after: unknown[]) => before.map((block, nth) => block === after[nth])
  expect(same(blocks(rows(lines, []), before))).toEqual([true, true, true])
  expect(same(blocks(rows([...lines, { chunk: 60, index: 0, start: 60 } as any], []), before))).toEqual([true, true, false])
  expect(same(blocks(rows(lines.with(30, { ...lines[30] }), []), before))).toEqual([true, false, true])
  expect(same(blocks(rows(lines, [{ start: 20.5, end: 21, reason: '' }]), before))).toEqual([false, false, false])
})

it('reads places of links', () => {
  expect(['#t=31:20', '#t=1:14:02.5', '#t=80', '#t=x', '', '#t='].map(placeOf)).toEqual([1880, 4442.5, 80, null, null, null])
})

it('draws the loudest of each stretch', () => {
  expect(columns(new Int8Array([-10, 20, -127, 5, 0, 0, -1, 64]), 2).map((loud) => Math.round(loud * 127))).toEqual([127, 64])
  expect(columns(new Int8Array([]), 2)).toEqual([0, 0])
})

it('leaves keys to modifiers and to input methods, Safari\'s 229 too', () => {
  expect(meaning(press('KeyJ'))).toBe('back')
  expect(meaning(press('Slash', { key: '?' }))).toBe('help')
  for (const more of [{ ctrlKey: true }, { metaKey: true }, { altKey: true }, { isComposing: true }, { keyCode: 229 }]) expect(meaning(press('KeyJ', more))).toBeNull()
})

it('knows where the service is from the address of its script', () => {
  expect(rootOf('http://x/static/dist/assets/index-1.js')).toBe('')
  expect(rootOf('http://x/a/whisper/static/dist/assets/index-1.js')).toBe('/a/whisper')
  expect(rootOf('http://localhost:5173/main.ts')).toBe('')
})

it('takes recordings out of a folder and leaves the rest', () => {
  const files = [['a.MP3', ''], ['b', 'video/x-odd'], ['notes.txt', 'text/plain'], ['cover.jpg', 'image/jpeg'], ['c.opus', '']]
  expect(files.map(([name, type]) => looksLikeMedia({ name: name!, type: type! }))).toEqual([true, true, false, false, true])
})
