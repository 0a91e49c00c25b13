// Errors and notes of the service, by their codes. In the language of the service its own message is shown: it has more details.
import type { Note, Problem } from '../types.ts'
import { clock } from './format.ts'
import { fill, tag, translation } from './index.ts'
import type { ErrorText, ServiceTexts } from './translation.ts'

const DEVICES: Record<string, string> = { cpu: 'CPU', cuda: 'GPU' }

/** What happened and what to do. An error of the page itself has no message. */
export function explain({ code, message, hint, params }: Problem): { what: string; hint: string; detail: string } {
  const { pageErrors, service } = translation.value
  const detail = typeof params?.detail === 'string' ? params.detail : ''
  const own = message ? undefined : (pageErrors as Record<string, ErrorText>)[code]
  const known = service?.errors[code] ?? own
  return known
    ? { what: known[0], hint: known[1], detail: detail || message }
    : { what: message || code, hint: hint ?? '', detail }
}

/** What happened to a job on its way, where, and what was changed. */
export function describeNote({ code, message, params }: Note): string {
  const { service } = translation.value
  const known = service?.errors[code]
  if (!service || !known) return message || code
  const position =
    typeof params?.position_s === 'number'
      ? fill(service.position, { position: clock(params.position_s) }, tag.value)
      : ''
  return position + known[0] + describeChange(params?.change as NoteChange | undefined, service)
}

interface NoteChange {
  kind: string
  to?: string | number
}

/** Notes of earlier versions of the service have no change. */
function describeChange(change: NoteChange | undefined, { changes }: ServiceTexts): string {
  const text = change && (changes as Record<string, string>)[change.kind]
  return text ? fill(text, { to: DEVICES[change.to ?? ''] ?? change.to ?? '' }, tag.value) : ''
}
