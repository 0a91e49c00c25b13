import { readFileSync } from 'node:fs'
import { faultOf, fromDraft, isChanged, toDraft, unitsOf, ZERO } from '../../static/src/settings.ts'
import type { Setting } from '../../static/src/types.ts'

const setting = (key: string, value: unknown, more: object = {}) =>
  ({
    key,
    value,
    default: value,
    source: 'default',
    changeable: true,
    effect: 'now',
    secret: false,
    given: false,
    ...more,
  }) as Setting
const shown = (key: string, value: unknown) => {
  const { text, unit } = toDraft(setting(key, value))
  return `${text} ${unit}`.trim()
}

it('turns a value into a draft and back', () => {
  for (const one of [
    setting('captions.lines', 2),
    setting('captions.max_s', 7.5),
    setting('captions.cjk_line_columns', 32),
    setting('captions.cjk_line_columns', 33),
    setting('storage.min_free_bytes', 1_500_000_000),
    setting('storage.undo_s', 600),
    setting('storage.undo_s', 0),
    setting('media.max_duration_s', 360_000),
    setting('media.max_duration_s', 3_601),
    setting('speech.unload_after_s', 0),
    setting('speech.batch_size', 0),
    setting('models.offline', false),
    setting('models.endpoints', ['https://a.example', 'https://b.example']),
    setting('models.endpoints', []),
    setting('models.proxy', ''),
  ]) {
    expect(fromDraft(one, toDraft(one)), one.key).toEqual(one.value)
    expect(isChanged(one, toDraft(one)), one.key).toBe(false)
  }
})

it('shows values as people say them', () => {
  expect(shown('media.max_duration_s', 360_000)).toBe('100 h')
  expect(shown('storage.undo_s', 600)).toBe('10 min')
  expect(shown('storage.keep_uploads_s', 86_400)).toBe('1 d')
  expect(shown('speech.unload_after_s', 90)).toBe('1.5 min')
  expect(shown('captions.gap_s', 0.083)).toBe('0.083 s')
  expect(shown('models.read_timeout_s', 10)).toBe('10 s')
  expect(shown('captions.cjk_line_columns', 32)).toBe('16 chars')
  expect(shown('storage.min_free_bytes', 256 * 1024 ** 2)).toBe('268.4 MB')
  expect(shown('server.max_upload_bytes', 20 * 1024 ** 3)).toBe('21.47 GB')
  expect(unitsOf('captions.chars_per_s')).toEqual([])
})

it('has a switch instead of a 0 that is no number', () => {
  for (const key of Object.keys(ZERO)) {
    const none = setting(key, 0)
    const draft = toDraft(none)
    expect(draft.off, key).toBe(true)
    expect(Number(draft.text), key).toBeGreaterThan(0)
    expect(fromDraft(none, { ...draft, off: false }), key).toBeGreaterThan(0)
    expect(fromDraft(setting(key, 5), { ...toDraft(setting(key, 5)), off: true }), key).toBe(0)
  }
})

it('knows what is wrong with a value before the service does', () => {
  type Bounds = Partial<Pick<Setting, 'minimum' | 'exclusive_minimum' | 'maximum'>>
  const fault = (key: string, value: unknown, text: string, bounds: Bounds = {}) =>
    faultOf(setting(key, value, bounds), { ...toDraft(setting(key, value)), text })
  const columns = { minimum: 8, maximum: 500 }
  expect(fault('captions.line_columns', 42, 'x7', columns)).toEqual({
    key: 'wrong_whole_between',
    least: 8,
    most: 500,
  })
  expect(fault('captions.line_columns', 42, ' 60 ', columns)).toBeNull()
  expect(fault('captions.cjk_line_columns', 32, '3', columns)).toEqual({
    key: 'wrong_whole_between', // a character takes two columns
    least: 4,
    most: 250,
  })
  expect(fault('captions.lines', 2, '1.5', { minimum: 1, maximum: 2 })).toEqual({
    key: 'wrong_whole_between',
    least: 1,
    most: 2,
  })
  expect(fault('captions.max_s', 7, '61', { minimum: 0.5, maximum: 60 })).toEqual({
    key: 'wrong_between',
    least: 0.5,
    most: 60,
  })
  expect(fault('media.workers', 2, '0', { minimum: 0 })).toEqual({ key: 'wrong_whole_from', least: 1 })
  expect(fault('speech.batch_size', 8, '0', { minimum: 0 })).toEqual({ key: 'wrong_whole_from', least: 1 })
  expect(fault('media.max_duration_s', 360_000, '', { exclusive_minimum: 0 })).toEqual({ key: 'wrong_number' })
  expect(fault('media.max_duration_s', 360_000, '0', { exclusive_minimum: 0 })).toEqual({ key: 'wrong_number' })
  expect(fault('speech.unload_after_s', 90, '0', { minimum: 0 })).toEqual({ key: 'wrong_number' })
  expect(fault('storage.undo_s', 600, '0', { minimum: 0 })).toBeNull()
  expect(fault('storage.undo_s', 600, '-1', { minimum: 0 })).toEqual({ key: 'wrong_negative' })
  expect(fault('models.endpoints', [], 'hub.example')).toEqual({ key: 'wrong_url' })
  expect(fault('models.endpoints', [], 'https://hub.example')).toBeNull()
})

it('shows nothing of a secret', () => {
  const secret = setting('models.token', null, { secret: true, given: true })
  expect(toDraft(secret).text).toBe('')
  expect(isChanged(secret, toDraft(secret))).toBe(false)
  expect(fromDraft(secret, { ...toDraft(secret), text: 'new' })).toBe('new')
})

it('has a label for every setting that may be changed', () => {
  const source = readFileSync(new URL('../../static/src/i18n/settings.ts', import.meta.url), 'utf8')
  for (const key of Object.keys(ZERO)) expect(source).toContain(`'${key}'`)
})
