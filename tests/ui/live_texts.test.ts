import { vi } from 'vitest'
vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined })
vi.stubGlobal('document', { documentElement: {}, createElement: () => ({}) })
vi.stubGlobal('navigator', { languages: ['en'] })
const { recordingTexts } = await import('../../static/src/i18n/recording.ts')

const names = (text: string) => [...new Set([...text.matchAll(/\{(\w+)/g)].map((found) => found[1]))].sort()

it('fills the same values into what the page says while it records, in every language', () => {
  const { en, ...others } = recordingTexts
  expect(Object.keys(en).length).toBeGreaterThan(30)
  for (const texts of Object.values(others)) {
    expect(Object.keys(texts).sort()).toEqual(Object.keys(en).sort())
    for (const key of Object.keys(en) as (keyof typeof en)[])
      expect([key, names(texts[key])]).toEqual([key, names(en[key])])
  }
})

it('speaks Chinese with Chinese characters', () => {
  for (const text of Object.values(recordingTexts.zh)) expect(text).toMatch(/\p{Script=Han}/u)
})
