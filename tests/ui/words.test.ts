import { readFileSync } from 'node:fs'
import { en } from '../../static/src/i18n/en.ts'
import { errors } from '../../static/src/i18n/errors.ts'
import { zh } from '../../static/src/i18n/zh.ts'
import { at, find, wordRange } from '../../static/src/reading.ts'

const names = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).sort()

it('says everything in both languages, with the same parameters', () => {
  expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort())
  for (const key of Object.keys(en) as (keyof typeof en)[]) expect([key, names(zh[key])]).toEqual([key, names(en[key])])
})

it('explains every code that the service can give', () => {
  const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  const codes = [...page.matchAll(/^\| `(\w+)` \|/gm)].map((found) => found[1]!)
  expect(codes.length).toBeGreaterThan(30)
  for (const code of codes) {
    expect(errors, code).toHaveProperty(code)
    expect([...errors[code]!.en, ...errors[code]!.zh].every((text) => text.length > 0)).toBe(true)
    expect(errors[code]!.zh[0]).toMatch(/\p{Script=Han}/u)
  }
})

it('finds the line of a time', () => {
  const lines = [{ start: 0 }, { start: 5 }, { start: 9 }]
  expect([-1, 0, 4.9, 5, 100].map((time) => at(lines, time))).toEqual([-1, 0, 0, 1, 2])
})

it('finds the word that sounds, also where a word occurs twice', () => {
  const word = (text: string, start: number) => ({ word: text, start, end: start + 1, probability: 1 })
  const segment = { text: ' the cat the dog', words: [word(' the', 0), word(' cat', 1), word(' the', 2), word(' dog', 3)] } as any
  expect(wordRange(segment, 2.5)).toEqual([8, 11])
  expect(wordRange(segment, 9)).toBeNull()
})

it('finds a phrase everywhere, whatever the case, in any script', () => {
  const lines = [{ text: ' Ab aB' }, { text: '今天天气' }] as any
  expect(find(lines, 'ab')).toEqual([{ segment: 0, from: 0, to: 2 }, { segment: 0, from: 3, to: 5 }])
  expect(find(lines, '天气')).toEqual([{ segment: 1, from: 2, to: 4 }])
  expect(find(lines, ' ')).toEqual([])
})
