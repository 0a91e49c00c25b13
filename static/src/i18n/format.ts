// Times, sizes and names in the language of the page.
import { t, tag, translation } from './index.ts'

const pad = (part: number) => String(part).padStart(2, '0')

/** A place in a recording: `31:20`, `1:14:02`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`
}

/** A length of time in words: `2 h 14 min`, `7 min`, `40 s`. */
export function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60)
  if (minutes >= 60) return t('span_h', { h: Math.floor(minutes / 60), m: minutes % 60 })
  return seconds >= 60 ? t('span_m', { m: minutes }) : t('span_s', { s: Math.max(0, Math.round(seconds)) })
}

/** A size: `820 kB`, `3.1 GB`. */
export function bytes(count: number): string {
  const power = count > 0 ? Math.min(4, Math.floor(Math.log10(count) / 3)) : 0
  const digits = power > 2 ? 1 : 0
  const number = (count / 1000 ** power).toLocaleString(tag.value, { maximumFractionDigits: digits })
  return `${number} ${['B', 'kB', 'MB', 'GB', 'TB'][power]}`
}

export const percent = (share: number): string => `${Math.floor(share * 100)} %`

interface Transferred {
  bytes: number
  total?: number | null
  speed_bps?: number
  eta_s?: number | null
}

/** How far a transfer is: `12 MB of 3.1 GB · 8 MB/s · 6 min left`. */
export function transferText({ bytes: done, total, speed_bps, eta_s }: Transferred): string {
  const parts = [total ? t('transfer', { n: bytes(done), all: bytes(total) }) : bytes(done)]
  if (speed_bps) parts.push(`${bytes(speed_bps)}/s`)
  if (eta_s != null) parts.push(t('left', { t: duration(eta_s) }))
  return parts.join(' · ')
}

/** A date and time in Unix seconds; of today only the time. */
export function moment(at: number, time: 'short' | 'medium' = 'short'): string {
  const date = new Date(at * 1000)
  const today = date.toDateString() === new Date().toDateString()
  return date.toLocaleString(tag.value, today ? { timeStyle: time } : { dateStyle: 'medium', timeStyle: time })
}

/** The name of a language that Whisper knows. */
export function languageName(code: string): string {
  const { languageNames } = translation.value
  const asked = code === 'jw' ? 'jv' : code // what Whisper calls Javanese
  const name = new Intl.DisplayNames(tag.value, { type: 'language' }).of(asked)
  return name && name !== asked ? name : (languageNames[code] ?? code)
}
