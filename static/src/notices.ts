// Short notices at the foot of the page; each may offer one thing to do, for a while.
import { reactive } from 'vue'

export interface Notice { key: number; text: string; label?: string; act?: () => void }

export const SHOWN_MS = 10_000
export const notices = reactive<Notice[]>([])
let last = 0

export function notify(text: string, label?: string, act?: () => void): void {
  const notice: Notice = { key: ++last, text, ...(label && act ? { label, act } : {}) }
  notices.push(notice)
  setTimeout(() => dismiss(notice.key), SHOWN_MS)
}

export function dismiss(key: number): void {
  const at = notices.findIndex((notice) => notice.key === key)
  if (at >= 0) notices.splice(at, 1)
}
