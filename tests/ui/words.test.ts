import { readFileSync } from 'node:fs'
import { en } from '../../static/src/i18n/en.ts'
import { errors } from '../../static/src/i18n/errors.ts'
import { zh } from '../../static/src/i18n/zh.ts'

const names = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).sort()

it('says everything in both languages, with the same parameters', () => {
  expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort())
  for (const key of Object.keys(en) as (keyof typeof en)[]) expect([key, names(zh[key])]).toEqual([key, names(en[key])])
})

it('explains every code that the service can give in Chinese', () => {
  const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  const codes = [...page.matchAll(/^\| `(\w+)` \|/gm)].map((found) => found[1]!)
  expect(codes.length).toBeGreaterThan(30)
  for (const code of codes) {
    expect(errors, code).toHaveProperty(code)
    for (const text of errors[code]!) expect(text).toMatch(/\p{Script=Han}/u)
  }
})
