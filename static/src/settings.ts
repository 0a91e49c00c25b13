// A setting of the service as text in a field, and back. Pure.
import type { MessageKey } from './i18n/translation.ts'
import type { Setting } from './types.ts'

/** What a field holds: a text with its unit, or a switch. `off`: the switch beside the field, for values like "never". */
export interface Draft {
  text: string
  unit: string
  on: boolean
  off: boolean
}

/** The values of settings that have a fixed choice. */
export const CHOICES: Record<string, readonly string[]> = {
  'speech.preset': ['fast', 'balanced', 'accurate'],
  'speech.script': ['auto', 'simplified', 'traditional', 'recognized'],
  'speech.speakers': ['off', 'auto', ...Array.from({ length: 20 }, (_, at) => String(at + 1))],
  'speech.device': ['auto', 'cpu', 'cuda'],
  'log.level': ['debug', 'info', 'warning', 'error'],
  'speech.compute_type': ['auto', 'int8', 'float32', 'float16', 'int8_float16'],
}

/** Settings whose 0 is no number for people: what it means. */
export const ZERO: Record<string, MessageKey> = {
  'speech.batch_size': 'automatic',
  'speech.slots': 'automatic',
  'speech.threads': 'all_cores',
  'media.workers': 'automatic',
  'speech.unload_after_s': 'never',
  'storage.keep_media_days': 'never',
  'storage.keep_jobs_days': 'never',
  'storage.keep_voices_days': 'with_text',
  'storage.max_media_bytes': 'unlimited',
}
/** What a field offers when such a switch is turned off. */
const FIRST: Record<string, string> = {
  'speech.batch_size': '8',
  'speech.slots': '2',
  'speech.threads': '4',
  'media.workers': '4',
  'speech.unload_after_s': '10',
  'storage.keep_media_days': '30',
  'storage.keep_jobs_days': '90',
  'storage.keep_voices_days': '30',
  'storage.max_media_bytes': '100',
}

const WHOLE = new Set([
  'speech.batch_size',
  'speech.slots',
  'speech.threads',
  'media.workers',
  'server.max_uploads',
  'storage.keep_changes',
  'captions.line_columns',
  'captions.cjk_line_columns',
  'captions.lines',
])
const UNITS: Record<string, number> = { s: 1, min: 60, h: 3600, d: 86_400, GB: 1e9, MB: 1e6, days: 1, chars: 2 }
const FINE = /^captions\.|_timeout_s$/ // seconds and parts of seconds

/** The units that a field can be written in, the smallest first. */
export function unitsOf(key: string): readonly string[] {
  if (key.endsWith('_bytes')) return ['MB', 'GB']
  if (key.endsWith('_days')) return ['days']
  if (key === 'captions.cjk_line_columns') return ['chars'] // a character takes two columns
  if (!key.endsWith('_s') || key.endsWith('per_s')) return []
  return FINE.test(key) ? ['s'] : ['s', 'min', 'h', 'd']
}

/** The largest unit in which a value is at least 1 and has at most one decimal. */
function unitFor(key: string, value: number): string {
  const units = unitsOf(key)
  const fits = (unit: string) =>
    value >= UNITS[unit]! && Number.isInteger(Math.round((1e6 * 10 * value) / UNITS[unit]!) / 1e6)
  return units.findLast(fits) ?? (key.endsWith('_bytes') ? (value >= 1e9 ? 'GB' : 'MB') : (units[0] ?? ''))
}

const DIGITS = 4

export function toDraft({ key, value, secret }: Setting): Draft {
  const draft: Draft = { text: '', unit: '', on: value === true, off: false }
  if (secret || typeof value === 'boolean') return draft
  if (Array.isArray(value)) return { ...draft, text: value.join('\n') }
  if (typeof value !== 'number') return { ...draft, text: String(value ?? '') }
  if (value === 0 && key in ZERO)
    return {
      ...draft,
      text: FIRST[key]!,
      unit: unitsOf(key).includes('min') ? 'min' : (unitsOf(key).at(-1) ?? ''),
      off: true,
    }
  const unit = unitFor(key, value)
  const shown = value / (UNITS[unit] ?? 1)
  return { ...draft, unit, text: String(key.endsWith('_bytes') ? Number(shown.toPrecision(DIGITS)) : shown) }
}

/** Whether a field was changed. A size is shown rounded: that is no change. */
export const isChanged = (setting: Setting, draft: Draft): boolean => {
  const shown = toDraft(setting)
  if (setting.secret) return draft.text !== ''
  if (draft.off || shown.off) return draft.off !== shown.off
  return draft.text.trim() !== shown.text || draft.unit !== shown.unit || draft.on !== shown.on
}

/** The value for the API. */
export function fromDraft({ key, value, secret }: Setting, draft: Draft): unknown {
  if (typeof value === 'boolean') return draft.on
  if (secret) return draft.text
  if (Array.isArray(value)) return draft.text.split(/[\s,]+/).filter(Boolean)
  if (typeof value !== 'number') return draft.text.trim()
  if (draft.off) return 0
  const number = Number(draft.text) * (UNITS[draft.unit] ?? 1)
  return WHOLE.has(key) || key.endsWith('_bytes') ? Math.round(number) : number
}

/** What is wrong with a field: a key of the messages and its values. Null: nothing is known to be wrong. */
export function faultOf(
  { key, value, secret, minimum, exclusive_minimum, maximum }: Setting,
  draft: Draft,
): { key: MessageKey; least?: number; most?: number } | null {
  if (key === 'models.endpoints' && draft.text.split(/[\s,]+/).some((url) => url && !/^https?:\/\//.test(url)))
    return { key: 'wrong_url' }
  if (typeof value !== 'number' || secret || draft.off) return null
  const text = draft.text.trim()
  const number = text === '' ? NaN : Number(text)
  const unit = UNITS[draft.unit] ?? 1
  const whole = WHOLE.has(key)
  const above = exclusive_minimum ?? (key in ZERO ? 0 : null) // a 0 that means "never" has a switch of its own
  const least = whole && above !== null ? Math.floor(above / unit) + 1 : (minimum ?? above ?? -Infinity) / unit
  const most = (maximum ?? Infinity) / unit
  const wrong =
    !Number.isFinite(number) || number < least || number > most || (above !== null && number <= above / unit)
  if (whole && (wrong || !Number.isInteger(number)))
    return most < Infinity ? { key: 'wrong_whole_between', least, most } : { key: 'wrong_whole_from', least }
  if (!wrong) return null
  if (most < Infinity) return { key: 'wrong_between', least: Math.max(0, least), most }
  return least === 0 && above === null ? { key: 'wrong_negative' } : { key: 'wrong_number' }
}
