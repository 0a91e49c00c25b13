// The words of the page; switching needs no reload.
import { ref, watchEffect } from 'vue'
import { en } from './i18n/en.ts'
import { errors, own } from './i18n/errors.ts'
import { zh } from './i18n/zh.ts'
import type { Note, Problem } from './types.ts'

export type Key = keyof typeof en
type Language = 'en' | 'zh'

function first(): Language {
  const kept = localStorage.getItem('language')
  if (kept === 'en' || kept === 'zh') return kept
  return navigator.languages.find((tag) => /^(zh|en)/.test(tag))?.startsWith('zh') ? 'zh' : 'en'
}

export const language = ref<Language>(first())

watchEffect(() => { document.documentElement.lang = language.value === 'zh' ? 'zh-CN' : 'en' })

export function speak(chosen: Language): void {
  language.value = chosen
  localStorage.setItem('language', chosen)
}

export function say(key: Key, params: Record<string, string | number> = {}): string {
  return fill((language.value === 'zh' ? zh : en)[key], params)
}

/** `{n}` is a value, `{n|time|times}` the form of a word that goes with it. */
export function fill(text: string, params: Record<string, string | number>): string {
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (whole, name, one?: string, many?: string) => {
    const value = params[name]
    return one === undefined ? String(value ?? whole) : value === 1 ? one : many!
  })
}

/** What happened and what to do; in English the service's own words, which know the particulars. */
export function explain(problem: Problem): { what: string; cure: string; detail: string } {
  const known = errors[problem.code]
  const detail = typeof problem.params?.detail === 'string' ? problem.params.detail : ''
  if (language.value === 'zh' && known) return { what: known[0], cure: known[1], detail: detail || problem.message }
  const said = own[problem.code]
  return { what: problem.message || said?.[0] || problem.code, cure: problem.hint || said?.[1] || '', detail }
}

const pad = (part: number) => String(part).padStart(2, '0')

/** A place in a recording: `31:20`, `1:14:02`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`
}

/** A length of time in words: `2 h 14 min`, `7 min`, `40 s`. */
export function lasting(seconds: number): string {
  const minutes = Math.round(seconds / 60)
  if (minutes >= 60) return say('span_h', { h: Math.floor(minutes / 60), m: minutes % 60 })
  return seconds >= 60 ? say('span_m', { m: minutes }) : say('span_s', { s: Math.max(0, Math.round(seconds)) })
}

const tag = () => (language.value === 'zh' ? 'zh-CN' : 'en')

export function bytes(count: number): string {
  const power = count > 0 ? Math.min(4, Math.floor(Math.log10(count) / 3)) : 0
  const digits = power > 2 ? 1 : 0
  return `${(count / 1000 ** power).toLocaleString(tag(), { maximumFractionDigits: digits })} ${['B', 'kB', 'MB', 'GB', 'TB'][power]}`
}

export const percent = (share: number): string => `${Math.floor(share * 100)} %`

/** A moment; of today only its time. */
export function moment(at: number): string {
  const date = new Date(at * 1000)
  const today = date.toDateString() === new Date().toDateString()
  return date.toLocaleString(tag(), today ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' })
}

/** A moment to the second. */
export function instant(at: number): string {
  const date = new Date(at * 1000)
  const today = date.toDateString() === new Date().toDateString()
  return date.toLocaleString(tag(), today ? { timeStyle: 'medium' } : { dateStyle: 'medium', timeStyle: 'medium' })
}

const UNNAMED: Record<string, Record<Language, string>> = { // by some browsers
  ba: { en: 'Bashkir', zh: '巴什基尔语' }, bo: { en: 'Tibetan', zh: '藏语' },
}

/** The name of a language that Whisper knows, in the language of the page. */
export function tongue(code: string): string {
  const asked = code === 'jw' ? 'jv' : code // what Whisper calls Javanese
  const name = new Intl.DisplayNames(tag(), { type: 'language' }).of(asked)
  return name && name !== asked ? name : UNNAMED[code]?.[language.value] ?? code
}

// What was changed after something went wrong stands in the words of the service only.
const CHANGES: readonly [RegExp, string][] = [
  [/goes on with batches of (\d+)\./, '此后批大小为 $1。'], [/goes on with (\d+) batch(?:es)? at a time\./, '此后同时处理 $1 批。'],
  [/goes on with the (CPU|GPU)\./, '此后改用 $1。'], [/goes on with numbers of the type (\w+)\./, '此后使用 $1 数值格式。'],
  [/This part is tried again\./, '这一段会重试。'], [/This part is left out\./, '这一段已略过。'], [/read again from its beginning\./, '将从头重新读取录音。'],
]

/** What happened to a job on its way, where, and what was done; in English the service's own words. */
export function recount(note: Note): string {
  const known = errors[note.code]
  if (language.value === 'en' || !known) return note.message || note.code
  const place = typeof note.params.position_s === 'number' ? `${clock(note.params.position_s)}：` : ''
  const changes = CHANGES.flatMap(([said, told]) => { const found = said.exec(note.message); return found ? [told.replace('$1', found[1] ?? '')] : [] })
  return `${place}${known[0]}${changes.join('')}`
}
