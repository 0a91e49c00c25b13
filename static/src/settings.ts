// A setting as text in a field, and back. Pure.
export interface Setting {
  key: string; value: unknown; default: unknown; source: 'default' | 'file' | 'stored' | 'environment' | 'command_line'
  changeable: boolean; effect: 'now' | 'restart' | null; secret: boolean; given: boolean
}
export type Draft = string | boolean

const GB = 1e9
export const isBytes = (key: string): boolean => key.endsWith('_bytes')

/** The unit behind the field; bytes are written in GB, to four digits: what was not touched is not sent. */
export function unit(key: string): 's' | 'days' | 'GB' | '' {
  return isBytes(key) ? 'GB' : key.endsWith('_days') ? 'days' : key.endsWith('_s') && !key.endsWith('per_s') ? 's' : ''
}

export function drafted({ key, value, secret }: Setting): Draft {
  if (secret) return ''
  if (typeof value === 'boolean') return value
  if (Array.isArray(value)) return value.join('\n')
  return isBytes(key) ? String(Number((Number(value) / GB).toPrecision(4))) : String(value ?? '')
}

/** What the API takes; a number that is none is sent as it was written, and refused there. */
export function valued({ key, value, secret }: Setting, draft: Draft): unknown {
  if (typeof draft === 'boolean' || secret) return draft
  if (Array.isArray(value)) return draft.split(/[\s,]+/).filter(Boolean)
  if (typeof value !== 'number') return draft.trim()
  const number = draft.trim() === '' ? NaN : Number(draft)
  return Number.isNaN(number) ? draft : isBytes(key) ? Math.round(number * GB) : number
}

/** What some can be. Others are free. */
export const CHOICES: Record<string, readonly string[]> = {
  'speech.preset': ['fast', 'balanced', 'accurate'], 'speech.device': ['auto', 'cpu', 'cuda'], 'log.level': ['debug', 'info', 'warning', 'error'],
  'speech.compute_type': ['auto', 'int8', 'float32', 'float16', 'int8_float16'],
}
