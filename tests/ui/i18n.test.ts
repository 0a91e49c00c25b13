import { readFileSync } from 'node:fs'

// The page asks the browser for the language.
const stored = new Map<string, string>()
vi.stubGlobal('localStorage', {
  getItem: (key: string) => stored.get(key) ?? null,
  setItem: (key: string, value: string) => stored.set(key, value),
})
vi.stubGlobal('document', { documentElement: {}, createElement: () => ({}) })
vi.stubGlobal('navigator', { languages: ['fr', 'zh-TW', 'en'] })
const { fill, language, languages, loadLanguage, nextLanguage, setLanguage, t } = await import(
  '../../static/src/i18n/index.ts'
)
const { describeNote, explain } = await import('../../static/src/i18n/problems.ts')
const en = await languages.en.load()
const zh = await languages.zh.load()
const loaded = { en, zh }

const names = (text: string) => [...new Set([...text.matchAll(/\{(\w+)/g)].map((found) => found[1]))].sort()

it('starts with the first language of the browser that the page knows', async () => {
  await loadLanguage()
  expect(language.value).toBe('zh')
  expect(document.documentElement.lang).toBe('zh-CN')
})

it.each(Object.entries(loaded))('fills the same values into the messages of every language: %s', (_, { messages }) => {
  expect(Object.keys(messages).sort()).toEqual(Object.keys(en.messages).sort())
  for (const [key, text] of Object.entries(en.messages))
    expect([key, names(messages[key as keyof typeof messages])]).toEqual([key, names(text)])
})

it.each(Object.entries(loaded))('explains every code of the service: %s', (_, { pageErrors, service }) => {
  const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  const codes = [...page.matchAll(/^\| `(\w+)` \|/gm)].map((found) => found[1]!)
  expect(codes.length).toBeGreaterThan(30)
  for (const code of codes) if (service) expect({ ...pageErrors, ...service.errors }, code).toHaveProperty(code)
})

it('explains in Chinese with Chinese characters', () => {
  for (const texts of Object.values(zh.service!.errors))
    for (const text of texts) expect(text).toMatch(/\p{Script=Han}/u)
})

it('takes the plural form of the language', () => {
  const times = (n: number) => fill('{n} {n|time|times} of {all}', { n, all: 9 }, 'en')
  expect([times(1), times(2)]).toEqual(['1 time of 9', '2 times of 9'])
  expect([1, 3, 5].map((n) => fill('{n|one|few|many|other}', { n }, 'ru'))).toEqual(['one', 'few', 'many'])
  expect(fill('{n} of {missing}', { n: 1 }, 'en')).toBe('1 of {missing}')
})

it('switches between the languages', async () => {
  await setLanguage('en')
  expect([t('undo'), nextLanguage.value]).toEqual(['Undo', 'zh'])
  expect(stored.get('language')).toBe('en')
  await setLanguage('zh')
  expect([t('undo'), nextLanguage.value]).toEqual(['撤销', 'en'])
})

describe('a note', () => {
  const note = (change?: object, code = 'oom') =>
    describeNote({
      at: 0,
      code,
      message: 'At 00:00:05: In English.',
      params: { position_s: 5, ...(change && { change }) },
    })

  it('is described by its codes, not by its message', async () => {
    await setLanguage('zh')
    expect(note({ kind: 'batch', to: 4 })).toBe('0:05：内存不足，缩小批次后仍然不够。此后批大小为 4。')
    expect(note({ kind: 'device', to: 'cpu' })).toMatch(/此后改用 CPU。$/)
    expect(note({ kind: 'compute_type', to: 'int8' })).toMatch(/此后使用 int8 数值格式。$/)
    expect(note({ kind: 'chunk_left_out' })).toMatch(/这一段已略过。$/)
  })

  it('shows only the cause if the change is missing or unknown', async () => {
    await setLanguage('zh')
    for (const change of [undefined, { kind: 'later', to: 1 }])
      expect(note(change)).toBe('0:05：内存不足，缩小批次后仍然不够。')
  })

  it('keeps the message of the service in its language, or for an unknown code', async () => {
    await setLanguage('zh')
    expect(note(undefined, 'new_code')).toBe('At 00:00:05: In English.')
    await setLanguage('en')
    expect(note({ kind: 'batch', to: 4 })).toBe('At 00:00:05: In English.')
  })
})

it('explains an error of the page in every language, and keeps the message of the service as a detail', async () => {
  const problem = (code: string, message = '') => ({ code, message, hint: message && 'Do this.', params: {} })
  await setLanguage('en')
  expect(explain(problem('unreachable')).what).toBe('The server is not answering.')
  expect(explain(problem('disk_full', 'No room.'))).toEqual({ what: 'No room.', hint: 'Do this.', detail: '' })
  await setLanguage('zh')
  expect(explain(problem('unreachable')).what).toBe('服务器没有响应。')
  expect(explain(problem('disk_full', 'No room.'))).toEqual({
    what: '磁盘已满。',
    hint: '请释放空间或移动 data_dir，然后重试。',
    detail: 'No room.',
  })
})

it('says what each model of the catalog is good for in Chinese', () => {
  const source = readFileSync(new URL('../../whisper_service/models/known.py', import.meta.url), 'utf8')
  const list = source.slice(source.indexOf('KNOWN: Final'), source.indexOf('BY_NAME'))
  const names = [...list.matchAll(/(?:_systran\(|KnownModel\(\s*)"([\w.-]+)"/g)].map((found) => found[1]!)
  expect(names.length).toBeGreaterThan(10)
  expect(Object.keys(zh.models!).sort()).toEqual(names.sort())
  for (const text of Object.values(zh.models!)) expect(text).toMatch(/\p{Script=Han}/u)
})

it('uses none of the words that nobody understood', () => {
  const said = (translation: typeof en | typeof zh) =>
    [
      ...Object.values(translation.messages),
      ...Object.values(translation.settings).flatMap(({ title, labels }) => [title, ...Object.values(labels)]),
    ].join('\n')
  expect(said(en)).not.toMatch(
    /Care|Weight of|Dark between|Take back|On the way|by itself|by themselves|in force|[Cc]aption|machine/,
  )
  expect(said(zh)).not.toMatch(/细致程度|轮询|从某处/)
})

it('gives every setting of the page one label in every language', () => {
  const keys = (translation: typeof en | typeof zh) =>
    Object.values(translation.settings).flatMap(({ labels }) => Object.keys(labels))
  expect(new Set(keys(en)).size).toBe(keys(en).length)
  expect(keys(zh)).toEqual(keys(en))
})
