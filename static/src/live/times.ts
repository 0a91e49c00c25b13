// When a recording was begun, as people read it and as files are called.
import { tag } from '../i18n/index.ts'
import { rec } from '../i18n/recording.ts'

/** `12:03`, as the language of the page writes it. */
export const clockTime = (at: number): string => new Date(at).toLocaleTimeString(tag.value, { timeStyle: 'short' })

/** `Recording 2026-11-29 12.03.wav`. */
export function fileName(at: number): string {
  const date = new Date(at)
  const two = (part: number) => String(part).padStart(2, '0')
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-')
  return `${rec('name')} ${day} ${two(date.getHours())}.${two(date.getMinutes())}.wav`
}
