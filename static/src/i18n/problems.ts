// Errors and notes of the service, by their codes. In the language of the service its own message is shown: it has more details.
import type { Note, Problem } from '../types.ts'
import { bytes, clock, duration } from './format.ts'
import { fill, tag, translation } from './index.ts'
import type { ErrorText } from './error_text.ts'
import type { ServiceTexts } from './translation.ts'

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

/** A stretch of a recording, in seconds. `to` is null for a moment. */
export interface Place {
  from: number
  to: number | null
}
/** What happened, what to do, and where in the recording. */
export interface Told {
  what: string
  hint: string
  places: Place[]
}

/** Notes of a job whose speakers are not all known. The text is complete. */
export const SPEAKER_NOTES: readonly string[] = ['speakers_unavailable', 'speakers_incomplete']

/** Whether a note is about the result: what was not read, heard or told apart. The others are about the work on it. */
export const isRemark = ({ code }: Note): boolean => code in translation.value.remarks || SPEAKER_NOTES.includes(code)

/** What happened to a job on its way, where, and what was changed. */
export function describeNote(note: Note): Told {
  const { service, remarks } = translation.value
  const { code, message, params } = note
  const places = placesOf(note)
  const remark = (remarks as Record<string, ErrorText>)[code]
  if (remark) {
    const values = valuesOf(params ?? {})
    const complete = [...remark[0].matchAll(/\{(\w+)/g)].every(([, name]) => name! in values)
    if (complete) return { what: fill(remark[0], values, tag.value), hint: remark[1], places }
    return { what: message || code, hint: remark[1], places }
  }
  const known = service?.errors[code]
  if (!service || !known) return { what: message || code, hint: '', places }
  if (SPEAKER_NOTES.includes(code)) {
    const cause = service.errors[String(params?.cause)]
    return { what: known[0] + (cause?.[0] ?? ''), hint: known[1], places }
  }
  return { what: known[0] + describeChange(params?.change as NoteChange | undefined, service), hint: '', places }
}

/** The places that a note names: a stretch, a moment, or several of them. */
function placesOf({ params }: Note): Place[] {
  const { at_s, start, end_s, end, position_s, stretches } = (params ?? {}) as Record<string, unknown>
  if (Array.isArray(stretches))
    return (stretches as unknown[]).flatMap((one) =>
      Array.isArray(one) && typeof one[0] === 'number'
        ? [{ from: one[0], to: typeof one[1] === 'number' ? one[1] : null }]
        : [],
    )
  const from = [at_s, start, position_s].find((time) => typeof time === 'number')
  const to = [end_s, end].find((time) => typeof time === 'number')
  if (from === undefined) return []
  return [{ from, to: to !== undefined && to > from ? to : null }]
}

/** The parameters of a remark as its words show them: lengths, sizes, places and numbers of tracks. */
function valuesOf(params: Record<string, unknown>): Record<string, string | number> {
  const shown: Record<string, string | number> = {}
  for (const [name, value] of Object.entries(params)) {
    if (Array.isArray(value)) shown[name] = value.join(translation.value.comma)
    else if (typeof value === 'string') shown[name] = value
    else if (typeof value !== 'number') continue
    else if (name === 'at_s' || name === 'end_s') shown[name] = clock(value)
    else if (name === 'bytes') shown[name] = bytes(value)
    else shown[name] = name === 'seconds' || name === 'missing_s' ? duration(value) : value
  }
  return shown
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
