// Short notices at the foot of the page. Each may offer one action for a while. A plain confirmation has no button.
import { reactive } from 'vue'

export interface Notice {
  key: number
  text: string
  label?: string
  action?: () => void
}

const SHOWN_MS = 10_000
const CONFIRMATION_MS = 5_000 // of notices without an action
export const notices = reactive<Notice[]>([])
let lastKey = 0

export function notify(text: string, label?: string, action?: () => void): void {
  const notice: Notice = { key: ++lastKey, text, ...(label && action ? { label, action } : {}) }
  notices.push(notice)
  setTimeout(() => dismiss(notice.key), action ? SHOWN_MS : CONFIRMATION_MS)
}

export function dismiss(key: number): void {
  const index = notices.findIndex((notice) => notice.key === key)
  if (index >= 0) notices.splice(index, 1)
}
