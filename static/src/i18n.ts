// The words of the page; switching needs no reload.
import { ref, watchEffect } from 'vue'
import { en } from './i18n/en.ts'
import { errors } from './i18n/errors.ts'
import { zh } from './i18n/zh.ts'
import type { Problem } from './types.ts'

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
  return (language.value === 'zh' ? zh : en)[key].replace(/\{(\w+)\}/g, (whole, name) => String(params[name] ?? whole))
}

/** What happened and what to do; in English the service's own words, which know the particulars. */
export function explain(problem: Problem): { what: string; cure: string; detail: string } {
  const known = errors[problem.code]
  const detail = typeof problem.params?.detail === 'string' ? problem.params.detail : ''
  if (language.value === 'en' || !known) {
    const said = known?.en ?? ['', '']
    return { what: problem.message || said[0] || problem.code, cure: problem.hint || said[1]!, detail }
  }
  return { what: known.zh[0], cure: known.zh[1], detail: detail || problem.message }
}

export const clock = (seconds: number): string => {
  const whole = Math.max(0, Math.floor(seconds))
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return parts.slice(parts[0] ? 0 : 1).map((part) => String(part).padStart(2, '0')).join(':')
}

export function bytes(count: number): string {
  const power = count > 0 ? Math.min(4, Math.floor(Math.log10(count) / 3)) : 0
  return `${(count / 1000 ** power).toLocaleString(language.value, { maximumFractionDigits: 1 })} ${['B', 'kB', 'MB', 'GB', 'TB'][power]}`
}

export const moment = (at: number): string =>
  new Date(at * 1000).toLocaleString(language.value === 'zh' ? 'zh-CN' : 'en', { dateStyle: 'medium', timeStyle: 'short' })
