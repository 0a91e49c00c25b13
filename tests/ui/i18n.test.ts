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
const { describeNote, explain, isRemark } = await import('../../static/src/i18n/problems.ts')
const { settingTexts } = await import('../../static/src/i18n/settings.ts')
const { trackName } = await import('../../static/src/i18n/format.ts')
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
    expect(note({ kind: 'batch', to: 4 })).toEqual({
      what: '内存不足，缩小批次后仍然不够。此后批大小为 4。',
      hint: '',
      places: [{ from: 5, to: null }],
    })
    expect(note({ kind: 'device', to: 'cpu' }).what).toMatch(/此后改用 CPU。$/)
    expect(note({ kind: 'compute_type', to: 'int8' }).what).toMatch(/此后使用 int8 数值格式。$/)
    expect(note({ kind: 'chunk_left_out' }).what).toMatch(/这一段已略过。$/)
  })

  it('shows only the cause if the change is missing or unknown', async () => {
    await setLanguage('zh')
    for (const change of [undefined, { kind: 'later', to: 1 }])
      expect(note(change).what).toBe('内存不足，缩小批次后仍然不够。')
  })

  it('keeps the message of the service in its language, or for an unknown code', async () => {
    await setLanguage('zh')
    expect(note(undefined, 'new_code').what).toBe('At 00:00:05: In English.')
    await setLanguage('en')
    expect(note({ kind: 'batch', to: 4 }).what).toBe('At 00:00:05: In English.')
  })
})

it('says why speakers are not known, where, and what to do', async () => {
  const at = { cause: 'model_unavailable', start: 3, end: 9.5 }
  const message = 'The voices could not be heard: There is no such model.'
  const note = { at: 0, code: 'speakers_incomplete', message, params: at }
  expect(isRemark(note)).toBe(true)
  await setLanguage('en')
  expect(describeNote(note)).toEqual({ what: message, hint: '', places: [{ from: 3, to: 9.5 }] })
  await setLanguage('zh')
  const { errors } = zh.service!
  for (const code of ['speakers_incomplete', 'speakers_unavailable']) {
    const { what, hint } = describeNote({ ...note, code })
    expect(what).toBe(errors[code]![0] + errors.model_unavailable![0])
    expect(hint).toBe(errors[code]![1])
  }
})

describe('a remark on a recording', () => {
  /** Every code that the service writes, with its parameters. */
  const PARAMS: Record<keyof typeof en.remarks, object> = {
    unread: { bytes: 3_100_000, at_byte: 7, at_s: 62.5 },
    unheard: { seconds: 80.2, at_s: 61, end_s: 100, places: 3 },
    time_jump: { at_s: 90, seconds: 4_000, jumps: 1 },
    truncated: { at_s: 30, missing_s: 45 },
    damaged: { packets: 1 },
    unclear_speech: { at_s: 3, end_s: 9.5 },
    track_undecodable: { tracks: [1, 2], track: 0 },
    other_tracks: { track: 1, tracks: 3 },
    no_listening_copy: {},
  }
  const told = (code: keyof typeof PARAMS, params: object = PARAMS[code]) =>
    describeNote({ at: 0, code, message: 'In English.', params: params as Record<string, never> })

  it('has a text for each code that the service knows', () => {
    const folder = new URL('../../whisper_service/', import.meta.url)
    const written = [
      'actors/media/remarks.py',
      'actors/media/unheard.py',
      'actors/media/listening_copy.py',
      'scheduler/run_ledger.py',
    ]
      .map((name) => readFileSync(new URL(name, folder), 'utf8'))
      .join('\n')
    const codes = [...written.matchAll(/(?:code=|Problem\()"(\w+)"/g)].map((found) => found[1]!)
    expect(codes.length).toBeGreaterThan(7)
    for (const code of codes) expect(Object.keys(PARAMS)).toContain(code)
  })

  it.each(['en', 'zh'] as const)('says what happened, why, and what to do: %s', async (language) => {
    await setLanguage(language)
    for (const code of Object.keys(PARAMS) as (keyof typeof PARAMS)[]) {
      const { what, hint } = told(code)
      expect(what).not.toMatch(/[{}]|In English/)
      expect(hint.length).toBeGreaterThan(8)
      expect(/\p{Script=Han}/u.test(what)).toBe(language === 'zh')
      expect(told(code, {}).hint).toBe(hint) // parameters that an older service did not write
      expect(told(code, {}).what).not.toMatch(/[{}]/)
    }
  })

  it('names its places, numbers and lengths', async () => {
    await setLanguage('en')
    expect(told('unheard')).toEqual({
      what: '1 min of sound have no text: no speech was found there.',
      hint: en.remarks.unheard[1],
      places: [{ from: 61, to: 100 }],
    })
    expect(told('unread').what).toBe('3 MB of the file could not be read as sound.')
    expect(told('unread').places).toEqual([{ from: 62.5, to: null }])
    expect(told('damaged').what).toBe('Parts of the file are damaged; 1 piece was skipped.')
    expect(told('track_undecodable').what).toBe('Track 1, 2 cannot be decoded. Track 0 is transcribed in its place.')
    expect(told('unclear_speech').places).toEqual([{ from: 3, to: 9.5 }])
    const many = { seconds: 9, stretches: [[1, 4], [20, 26], 'odd'] }
    expect(told('unheard', many).places).toEqual([
      { from: 1, to: 4 },
      { from: 20, to: 26 },
    ])
    expect(isRemark({ at: 0, code: 'unread', message: '', params: {} })).toBe(true)
    expect(isRemark({ at: 0, code: 'oom', message: '', params: {} })).toBe(false)
  })
})

it('names tracks by their number and what their file says', async () => {
  const track = { index: 2, codec: 'aac', language: 'ger', title: 'Kommentar', channels: 2, default: false }
  const named = (more: object) => trackName({ ...track, decodable: true, used: false, ...more })
  await setLanguage('en')
  expect(named({})).toBe('Track 2: German, Kommentar, stereo')
  expect(named({ language: 'eng', title: '', channels: 1 })).toBe('Track 2: English, mono')
  expect(named({ language: 'und', title: '', channels: 0 })).toBe('Track 2')
  expect(named({ language: 'x', title: '', channels: 6, decodable: false })).toBe(
    'Track 2: x, 6 channels, cannot be decoded',
  )
  await setLanguage('zh')
  expect(named({ language: 'chi' })).toBe('音轨 2：中文、Kommentar、立体声')
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
  expect(Object.keys(zh.models!).sort()).toEqual([...names, 'speakers'].sort())
  for (const text of Object.values(zh.models!)) expect(text).toMatch(/\p{Script=Han}/u)
})

it('uses none of the words that nobody understood', () => {
  const said = (code: 'en' | 'zh') =>
    [
      ...Object.values(loaded[code].messages),
      ...Object.values(settingTexts[code]).flatMap(({ title, labels }) => [title, ...Object.values(labels)]),
    ].join('\n')
  expect(said('en')).not.toMatch(
    /Care|Weight of|Dark between|Take back|On the way|by itself|by themselves|in force|[Cc]aption|machine/,
  )
  expect(said('zh')).not.toMatch(/细致程度|轮询|从某处/)
})

it('gives every setting of the page one label in every language', () => {
  const keys = (code: 'en' | 'zh') => Object.values(settingTexts[code]).flatMap(({ labels }) => Object.keys(labels))
  expect(new Set(keys('en')).size).toBe(keys('en').length)
  expect(keys('zh')).toEqual(keys('en'))
})
