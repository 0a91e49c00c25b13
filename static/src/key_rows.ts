// The list of keys, as people read it and change it: rows of actions that belong together.
import type { MessageKey } from './i18n/index.ts'
import { SPEAKER_DIGITS, type Action, type Chord, type Mode } from './keys.ts'

export interface KeyRow {
  label: MessageKey
  actions: Action[]
}
export const KEY_ROWS: Record<Mode, KeyRow[]> = {
  reading: [
    { label: 'key_play', actions: ['play'] },
    { label: 'key_skip', actions: ['back_5', 'forward_5'] },
    { label: 'key_fine', actions: ['back_1', 'forward_1'] },
    { label: 'key_line', actions: ['previous', 'next'] },
    { label: 'key_rate', actions: ['slower', 'faster', 'normal'] },
    { label: 'key_follow', actions: ['playing'] },
    { label: 'key_replay', actions: ['replay'] },
    { label: 'key_loop', actions: ['loop'] },
    { label: 'zoomed', actions: ['zoomed'] },
    { label: 'key_edit', actions: ['edit'] },
    { label: 'key_delete', actions: ['delete_line'] },
    { label: 'key_check', actions: ['check'] },
    { label: 'key_marks', actions: ['bookmark', 'highlight', 'note'] },
    { label: 'key_doubts', actions: ['doubt_next', 'doubt_before'] },
    { label: 'key_set_times', actions: ['set_start', 'set_end'] },
    { label: 'key_nudge_start', actions: ['start_earlier', 'start_later'] },
    { label: 'key_nudge_end', actions: ['end_earlier', 'end_later'] },
    { label: 'key_problems', actions: ['problem_next', 'problem_before'] },
    { label: 'key_speaker', actions: ['speaker'] },
    { label: 'key_speakers', actions: [...SPEAKER_DIGITS.map((digit) => `speaker_${digit}` as const), 'speaker_none'] },
    { label: 'key_undo', actions: ['undo', 'redo'] },
    { label: 'key_search', actions: ['find'] },
    { label: 'key_replace', actions: ['replace'] },
    { label: 'key_export', actions: ['export'] },
  ],
  typing: [
    { label: 'key_play', actions: ['play'] },
    { label: 'key_skip', actions: ['back_5', 'forward_5'] },
    { label: 'key_replay', actions: ['replay'] },
    { label: 'key_loop', actions: ['loop'] },
    { label: 'key_set_times', actions: ['set_start', 'set_end'] },
    { label: 'key_speaker', actions: ['speaker'] },
    { label: 'key_rate', actions: ['slower', 'faster'] },
    { label: 'key_undo', actions: ['undo', 'redo'] },
    { label: 'key_replace', actions: ['replace'] },
    { label: 'key_saved', actions: ['saved'] },
  ],
}
/** Keys that are what they are in every text field. */
export const FIXED_ROWS: { label: MessageKey; chords: Chord[] }[] = [
  { label: 'key_split', chords: ['Enter'] },
  { label: 'key_join', chords: ['Backspace'] },
  { label: 'key_join_after', chords: ['Delete'] },
  { label: 'key_rows', chords: ['ArrowUp', 'ArrowDown'] },
  { label: 'key_done', chords: ['Escape'] },
  { label: 'key_leave', chords: ['Tab'] },
]
