// What each key does in a transcript. Keys are known by their place on the keyboard, so layouts and input methods do not move
// them; only shortcuts with Ctrl or Cmd are known by their letter, as in every other program.

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
  | 'zoomed'
  | 'export'
  | 'find'
  | 'replace'
  | 'help'
  | 'edit'
  | 'undo'
  | 'redo'
  | 'saved'
  | 'delete_line'
  | 'check'
  | 'bookmark'
  | 'highlight'
  | 'note'
  | 'doubt_next'
  | 'doubt_before'
  | 'set_start'
  | 'set_end'
  | 'start_earlier'
  | 'start_later'
  | 'end_earlier'
  | 'end_later'
  | 'problem_next'
  | 'problem_before'
  | 'speaker'
  | 'speaker_none'
  | `speaker_${SpeakerDigit}`

type SpeakerDigit = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9
/** The speakers that have a key. */
export const SPEAKER_DIGITS: readonly SpeakerDigit[] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
const speakerKeys = Object.fromEntries(SPEAKER_DIGITS.map((digit) => [`speaker_${digit}`, [`Digit${digit}`]]))

/** `reading`: no field and no line has the caret. `typing`: a line is edited. */
export type Mode = 'reading' | 'typing'

/** A key with what is held beside it: "Mod+Shift+KeyZ". Mod is Ctrl, on a Mac Cmd. */
export type Chord = string

export const KEYS: Record<Mode, Partial<Record<Action, Chord[]>>> = {
  reading: {
    play: ['Space', 'KeyK', 'F4'],
    back_5: ['KeyJ'],
    forward_5: ['KeyL'],
    back_1: ['ArrowLeft'],
    forward_1: ['ArrowRight'],
    previous: ['ArrowUp'],
    next: ['ArrowDown'],
    slower: ['BracketLeft'],
    faster: ['BracketRight'],
    normal: ['Digit0'],
    playing: ['KeyG'],
    replay: ['KeyR'],
    loop: ['KeyO'],
    zoomed: ['KeyW'],
    edit: ['Enter', 'F2'],
    delete_line: ['Shift+Delete'],
    speaker: ['KeyS'],
    ...speakerKeys,
    speaker_none: ['Minus'],
    check: ['KeyC'],
    bookmark: ['KeyB'],
    highlight: ['KeyH'],
    note: ['KeyM'],
    doubt_next: ['KeyN'],
    doubt_before: ['Shift+KeyN'],
    set_start: ['KeyI'],
    set_end: ['KeyU'],
    start_earlier: ['Comma'],
    start_later: ['Period'],
    end_earlier: ['Shift+Comma'],
    end_later: ['Shift+Period'],
    problem_next: ['KeyX'],
    problem_before: ['Shift+KeyX'],
    undo: ['Mod+KeyZ'],
    redo: ['Mod+Shift+KeyZ', 'Mod+KeyY'],
    replace: ['Mod+KeyH', 'Mod+Alt+KeyF'],
    find: ['Slash'],
    export: ['KeyE'],
    saved: ['Mod+KeyS'],
  },
  typing: {
    play: ['Alt+KeyK', 'F4'],
    back_5: ['Alt+KeyJ'],
    forward_5: ['Alt+KeyL'],
    replay: ['Alt+KeyR'],
    set_start: ['Alt+KeyI'],
    set_end: ['Alt+KeyU'],
    loop: ['Alt+KeyO'],
    speaker: ['Alt+KeyP'],
    slower: ['Alt+BracketLeft'],
    faster: ['Alt+BracketRight'],
    undo: ['Mod+KeyZ'],
    redo: ['Mod+Shift+KeyZ', 'Mod+KeyY'],
    replace: ['Mod+KeyH', 'Mod+Alt+KeyF'],
    saved: ['Mod+KeyS'],
  },
}
/** What a foot pedal sends, in either mode. */
const PEDALS: Record<Chord, Action> = { F3: 'back_5', F4: 'play', F5: 'forward_5' }

/** What a person set, by "mode.action". */
export type Bindings = Record<string, Chord[]>

export interface KeyPress {
  code: string
  key: string
  ctrlKey: boolean
  metaKey: boolean
  altKey: boolean
  shiftKey?: boolean
  isComposing: boolean
  keyCode: number
}

const SAFARI_COMPOSING = 229 // the key code while an input method composes

export const isComposing = (press: KeyPress): boolean => press.isComposing || press.keyCode === SAFARI_COMPOSING

export const isMac = /Mac|iPhone|iPad/.test(globalThis.navigator?.platform ?? '')

const MODIFIERS = /^(Control|Shift|Alt|Meta|OS|Fn|CapsLock)/

/** The chord of a press. Null: only a modifier is held, or the key belongs to the system. */
export function chordOf(press: KeyPress): Chord | null {
  const { code, key, ctrlKey, metaKey, altKey, shiftKey } = press
  if (!code || MODIFIERS.test(code)) return null
  const mod = isMac ? metaKey : ctrlKey
  if (isMac ? ctrlKey : metaKey) return null
  const letter = mod && /^[a-z]$/i.test(key) ? `Key${key.toUpperCase()}` : code
  return [mod && 'Mod', altKey && 'Alt', shiftKey && 'Shift', letter].filter(Boolean).join('+')
}

/** The chords of an action. */
export const chordsOf = (mode: Mode, action: Action, own: Bindings = {}): Chord[] =>
  own[`${mode}.${action}`] ?? KEYS[mode][action] ?? []

/** The action of a key. Null: the page ignores the key. */
export function actionOfKey(
  press: KeyPress,
  mode: Mode = 'reading',
  own: Bindings = {},
  pedals = false,
): Action | null {
  if (isComposing(press)) return null
  const chord = chordOf(press)
  if (chord === null) return null
  if (mode === 'reading' && press.key === '?' && !press.ctrlKey && !press.metaKey && !press.altKey) return 'help'
  if (pedals && PEDALS[chord]) return PEDALS[chord]
  const find = (wanted: Chord) =>
    (Object.keys(KEYS[mode]) as Action[]).find((action) => chordsOf(mode, action, own).includes(wanted))
  const plain = /^Shift\+(?!.*\+)/.test(chord) ? chord.slice('Shift+'.length) : chord // Shift alone changes nothing
  return find(chord) ?? (mode === 'reading' ? find(plain) : undefined) ?? null
}

/** Whether the focused element uses the key itself. */
export function usesKey(target: Element, press: KeyPress): boolean {
  if (
    target.closest('input:not([type=checkbox], [type=range]), textarea, select, [contenteditable], dialog, [popover]')
  )
    return true
  if (target.closest('input[type=range], [role=tablist]') && press.code.startsWith('Arrow')) return true
  return (
    target.closest('button, a, summary, label, input') !== null && (press.code === 'Space' || press.code === 'Enter')
  )
}

const SYMBOLS: Record<string, string> = {
  ArrowLeft: '←',
  ArrowRight: '→',
  ArrowUp: '↑',
  ArrowDown: '↓',
  BracketLeft: '[',
  BracketRight: ']',
  Slash: '/',
  Minus: '−',
  Comma: ',',
  Period: '.',
  Enter: '⏎',
}
const ON_MAC: Record<string, string> = { Mod: '⌘', Alt: '⌥', Shift: '⇧' }
const ELSEWHERE: Record<string, string> = { Mod: 'Ctrl' }

/** How a chord is written. `space` is the name of the space bar. */
export function keyLabel(chord: Chord, space: string): string {
  const names = chord.split('+').map((part) => {
    if (part === 'Space') return space
    return (isMac ? ON_MAC : ELSEWHERE)[part] ?? SYMBOLS[part] ?? part.replace(/^(Key|Digit)(?=.$)/, '')
  })
  return names.join(isMac ? '' : '+')
}
