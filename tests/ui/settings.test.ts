import { fromDraft, toDraft, unitOf } from '../../static/src/settings.ts'
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

it('turns a value into a draft and back', () => {
  for (const one of [
    setting('captions.lines', 2),
    setting('captions.max_s', 7.5),
    setting('storage.min_free_bytes', 1_500_000_000),
    setting('models.offline', false),
    setting('models.endpoints', ['https://a.example', 'https://b.example']),
    setting('models.endpoints', []),
    setting('models.proxy', ''),
  ])
    expect(fromDraft(one, toDraft(one))).toEqual(one.value)
})

it('sends text that is no number unchanged', () => {
  expect(fromDraft(setting('captions.lines', 2), 'many')).toBe('many')
  expect(fromDraft(setting('captions.lines', 2), ' ')).toBe(' ')
})

it('shows nothing of a secret', () => {
  expect(toDraft(setting('models.token', null, { secret: true, given: true }))).toBe('')
  expect(fromDraft(setting('models.token', null, { secret: true }), 'new')).toBe('new')
})

it('knows the unit by the end of the key', () => {
  expect(
    [
      'storage.undo_s',
      'captions.linger_s',
      'storage.keep_jobs_days',
      'server.max_upload_bytes',
      'captions.chars_per_s',
      'captions.lines',
    ].map(unitOf),
  ).toEqual(['s', 's', 'days', 'GB', '', ''])
})
