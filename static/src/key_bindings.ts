// The keys as this browser's owner set them.
import { actionOfKey, chordsOf, type Action, type Chord, type KeyPress, type Mode } from './keys.ts'
import { preferences } from './preferences.ts'

/** What a key does. Null: the page ignores it. Single keys do nothing once they are switched off. */
export function keyAction(press: KeyPress, mode: Mode): Action | null {
  const action = actionOfKey(press, mode, preferences.bindings, preferences.pedals)
  const isSingle = mode === 'reading' && !press.ctrlKey && !press.metaKey && !press.altKey && !/^F\d/.test(press.code)
  return isSingle && !preferences.keys ? null : action
}

export const chords = (mode: Mode, action: Action): Chord[] => chordsOf(mode, action, preferences.bindings)
