// What each key does in a transcript. Keys are known by their place on the keyboard, so layouts and input methods do not move them.

export type Action =
  | 'play'
  | 'back_5'
  | 'forward_5'
  | 'back_1'
  | 'forward_1'
  | 'previous'
  | 'next'
  | 'slower'
  | 'faster'
  | 'normal'
  | 'playing'
  | 'replay'
  | 'loop'
  | 'export'
  | 'find'
  | 'help'

const ACTIONS: Record<string, Action> = {
  Space: 'play',
  KeyK: 'play',
  KeyJ: 'back_5',
  KeyL: 'forward_5',
  ArrowLeft: 'back_1',
  ArrowRight: 'forward_1',
  ArrowUp: 'previous',
  ArrowDown: 'next',
  BracketLeft: 'slower',
  BracketRight: 'faster',
  Digit0: 'normal',
  KeyG: 'playing',
  KeyR: 'replay',
  KeyO: 'loop',
  KeyE: 'export',
  Slash: 'find',
}

export interface KeyPress {
  code: string
  key: string
  ctrlKey: boolean
  metaKey: boolean
  altKey: boolean
  isComposing: boolean
  keyCode: number
}

const SAFARI_COMPOSING = 229 // the key code while an input method composes

/** The action of a key. Null: the page ignores the key. */
export function actionOfKey(press: KeyPress): Action | null {
  if (press.ctrlKey || press.metaKey || press.altKey || press.isComposing || press.keyCode === SAFARI_COMPOSING)
    return null
  if (press.key === '?') return 'help'
  return ACTIONS[press.code] ?? null
}

/** Whether the focused element uses the key itself. */
export function usesKey(target: Element, press: KeyPress): boolean {
  if (
    target.closest('input:not([type=checkbox], [type=range]), textarea, select, [contenteditable], dialog, [popover]')
  )
    return true
  if (target.closest('input[type=range]') && press.code.startsWith('Arrow')) return true
  return (
    target.closest('button, a, summary, label, input') !== null && (press.code === 'Space' || press.code === 'Enter')
  )
}
