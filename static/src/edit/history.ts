// The history of changes of a transcript, as people read it. Pure.
import type { MessageKey } from '../i18n/index.ts'
import type { EditRecord } from '../types.ts'
import { hunks } from './difference.ts'
import { splitWords } from './words.ts'

/** A piece of a changed text: it stayed, it went, or it came. */
export interface Piece {
  text: string
  what: 'same' | 'del' | 'ins'
}

/** A text with what went and what came, in order. Null: there was no text, or is none. */
export function pieces(before: string | null, after: string | null): Piece[] {
  if (before === after) return [{ text: before ?? '', what: 'same' }]
  const [old, now] = [splitWords(before?.trim() ?? ''), splitWords(after?.trim() ?? '')]
  const found: Piece[] = []
  const add = (words: string[], what: Piece['what']) => {
    if (words.length) found.push({ text: words.join(''), what })
  }
  let at = 0
  for (const { first, last, from, to } of hunks(old, now)) {
    add(old.slice(at, first), 'same')
    add(old.slice(first, last), 'del')
    add(now.slice(from, to), 'ins')
    at = last
  }
  add(old.slice(at), 'same')
  return found
}

const LABELS: Record<string, MessageKey> = {
  text: 'change_text',
  split: 'change_split',
  merge: 'change_merge',
  delete: 'change_delete',
  insert: 'change_insert',
  time: 'change_time',
  speaker: 'change_speaker',
  name_speaker: 'change_speaker',
  join_speakers: 'change_speaker',
  remove_speaker: 'change_speaker',
  check: 'change_check',
}

/** What an edit is called: a key of the messages. */
export function labelOf({ kind, operations, lines }: EditRecord): MessageKey {
  if (kind === 'undo') return 'change_undo'
  if (kind === 'restore') return 'change_restore'
  if (kind === 'align') return 'change_aligned'
  if (kind === 'replace' || kind === 'vocabulary') return 'change_replaced'
  const names = [...new Set(operations.map(({ op }) => op as string))]
  if (names.length > 1) return 'change_other'
  const [name = ''] = names
  if (name === 'text' && lines > 1) return 'change_replaced'
  return LABELS[name] ?? (name.includes('mark') ? 'change_marks' : 'change_other')
}

/** Edits by the day on which they were made, in their order. `dayOf` gives the day of a time in Unix seconds. */
export function byDay<T extends { at: number }>(edits: readonly T[], dayOf: (at: number) => string) {
  const days: { day: string; edits: T[] }[] = []
  for (const edit of edits) {
    const day = dayOf(edit.at)
    if (days.at(-1)?.day !== day) days.push({ day, edits: [] })
    days.at(-1)!.edits.push(edit)
  }
  return days
}
