// A setting of the service as text in a field, and back. Pure.
import type { Setting } from './types.ts'

export type Draft = string | boolean

/** The values of settings that have a fixed choice. */
export const CHOICES: Record<string, readonly string[]> = {
  'speech.preset': ['fast', 'balanced', 'accurate'],
  'speech.device': ['auto', 'cpu', 'cuda'],
  'log.level': ['debug', 'info', 'warning', 'error'],
  'speech.compute_type': ['auto', 'int8', 'float32', 'float16', 'int8_float16'],
}

const GB = 1e9
const isBytes = (key: string): boolean => key.endsWith('_bytes')

/** The unit of a field, by the end of its key. Bytes are shown as GB. */
export function unitOf(key: string): 's' | 'days' | 'GB' | '' {
  return isBytes(key) ? 'GB' : key.endsWith('_days') ? 'days' : key.endsWith('_s') && !key.endsWith('per_s') ? 's' : ''
}

/** GB have four digits. That is no change: only drafts that differ from this are sent. */
export function toDraft({ key, value, secret }: Setting): Draft {
  if (secret) return ''
  if (typeof value === 'boolean') return value
  if (Array.isArray(value)) return value.join('\n')
  return isBytes(key) ? String(Number((Number(value) / GB).toPrecision(4))) : String(value ?? '')
}

/** The value for the API. Text that is no number is sent as it is, and the service refuses it. */
export function fromDraft({ key, value, secret }: Setting, draft: Draft): unknown {
  if (typeof draft === 'boolean' || secret) return draft
  if (Array.isArray(value)) return draft.split(/[\s,]+/).filter(Boolean)
  if (typeof value !== 'number') return draft.trim()
  const number = draft.trim() === '' ? NaN : Number(draft)
  return Number.isNaN(number) ? draft : isBytes(key) ? Math.round(number * GB) : number
}
