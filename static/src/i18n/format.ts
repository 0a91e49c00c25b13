// Times, sizes and names in the language of the page.
import type { Track } from '../types.ts'
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

/** Codes that browsers do not know: what Whisper calls Javanese, and the bibliographic codes of ISO 639 in old films. */
const OTHER_CODES: Record<string, string> = {
  ...{ jw: 'jv', alb: 'sq', arm: 'hy', baq: 'eu', bur: 'my', chi: 'zh', cze: 'cs', dut: 'nl', fre: 'fr', geo: 'ka' },
  ...{ ger: 'de', gre: 'el', ice: 'is', mac: 'mk', mao: 'mi', may: 'ms', per: 'fa', rum: 'ro', slo: 'sk', tib: 'bo' },
  wel: 'cy',
}

/** The name of a language that Whisper knows or that a file names. */
export function languageName(code: string): string {
  const { languageNames } = translation.value
  const asked = OTHER_CODES[code] ?? code
  try {
    const name = new Intl.DisplayNames(tag.value, { type: 'language' }).of(asked)
    return name && name !== asked ? name : (languageNames[asked] ?? code)
  } catch {
    return code // no code of a language, but a file may say so
  }
}

/** A track with what its file says of it: `Track 1: English, Commentary`. */
export function trackName({ index, language, title, channels, decodable }: Track): string {
  const facts = [
    language && language !== 'und' ? languageName(language) : '',
    title,
    channels === 1 ? t('mono') : channels === 2 ? t('stereo') : channels ? t('channels', { n: channels }) : '',
    decodable ? '' : t('undecodable'),
  ].filter(Boolean)
  const name = t('track_n', { n: index })
  return facts.length ? t('act_on', { verb: name, name: facts.join(translation.value.comma) }) : name
}

/** Whether speakers are told apart, and how many: `off`, `auto` or a number. */
export const speakersName = (choice: string): string =>
  choice === 'off' || choice === 'auto' ? t(`tell_${choice}`) : t('speakers_n', { n: choice })
