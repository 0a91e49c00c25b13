// Which key does what in a transcript. Keys are told by their place on the keyboard, so that a layout or an input method moves none.

export type Action =
  | 'play' | 'back' | 'on' | 'bit_back' | 'bit_on' | 'previous' | 'next' | 'slower' | 'faster' | 'normal'
  | 'playing' | 'replay' | 'loop' | 'export' | 'find' | 'help'

const KEYS: Record<string, Action> = {
  Space: 'play', KeyK: 'play', KeyJ: 'back', KeyL: 'on', ArrowLeft: 'bit_back', ArrowRight: 'bit_on', ArrowUp: 'previous', ArrowDown: 'next',
  BracketLeft: 'slower', BracketRight: 'faster', Digit0: 'normal', KeyG: 'playing', KeyR: 'replay', KeyO: 'loop', KeyE: 'export', Slash: 'find',
}

export interface Press {
  code: string; key: string; ctrlKey: boolean; metaKey: boolean; altKey: boolean; isComposing: boolean; keyCode: number
}

/** What a key means, or null: with a modifier, or while an input method composes (Safari says so by 229), it is not ours. */
export function meaning(press: Press): Action | null {
  if (press.ctrlKey || press.metaKey || press.altKey || press.isComposing || press.keyCode === 229) return null
  if (press.key === '?') return 'help'
  return KEYS[press.code] ?? null
}

/** Whether the place where a key was pressed wants it for itself. */
export function taken(target: Element, press: Press): boolean {
  if (target.closest('input:not([type=checkbox], [type=range]), textarea, select, [contenteditable], dialog, [popover]')) return true
  if (target.closest('input[type=range]') && press.code.startsWith('Arrow')) return true
  return target.closest('button, a, summary, label, input') !== null && (press.code === 'Space' || press.code === 'Enter')
}
