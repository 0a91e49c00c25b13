// What an operation does to the lines, and what undoes it, so that a person sees at once what the service will store.
// The service does the same (editing/applying.py), to the same result.
import type { ClientOperation, PutLines } from '../types.ts'
import { cutWords, characters, joined, moved } from './cutting.ts'
import { contentOf, type Line, type LineList } from './lines.ts'
import { retime, spread } from './retime.ts'
import { splitWords } from './words.ts'

export type Operation = ClientOperation | PutLines

/** Why an operation is not done: `conflict`: a line is not what the operation says; else the reason of `bad_edit`. */
export class Refused extends Error {}

export const MAX_CHARACTERS = 2_000 // in one line; the service has the same
const SPACE = /[\s\x1c-\x1f\x85]+/u
const CONTROL = /[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufeff\ud800-\udfff]/gu

/** Texts that are clean already, as nearly all are: letters of common scripts, and one space between words. */
const CLEAN =
  /^[!-~\u00a1-\u167f\u2010-\u2027\u3001-\ud7ff\uff01-\uffef]+(?: [!-~\u00a1-\u167f\u2010-\u2027\u3001-\ud7ff\uff01-\uffef]+)*$/

/** A text on one line, with one kind of space and without control characters, as the service stores it. */
export const clean = (text: string): string =>
  CLEAN.test(text) ? text : text.replace(CONTROL, '').split(SPACE).filter(Boolean).join(' ')

/** Do the operations on `lines` and return what undoes them. Raises `Refused`; `lines` is then half changed. */
export function apply(lines: LineList, operations: Operation[]): Operation[] {
  lines.mark()
  for (const operation of operations) perform(lines, operation)
  checkChanged(lines)
  return wayBack(lines)
}

/** Raises `Refused` if one of the lines that changed since they were marked cannot be stored. */
export function checkChanged(lines: LineList): void {
  const { lines: changed, before } = lines.changes()
  for (const line of changed) check(lines, line, before.get(line.id))
}

/** Do one operation. Raises `Refused`; nothing is changed then. */
export function perform(lines: LineList, operation: Operation): void {
  switch (operation.op) {
    case 'text':
      return write(lines, current(lines, operation.id, operation.v), clean(operation.text))
    case 'split':
      return split(lines, current(lines, operation.id, operation.v), operation.at, operation.new)
    case 'merge':
      return merge(lines, inARow(lines, operation))
    case 'heard':
      return useHeard(lines, operation)
    case 'delete':
      return lines.remove(current(lines, operation.id, operation.v).id)
    case 'insert':
      return insert(lines, operation)
    case 'time': {
      const line = current(lines, operation.id, operation.v)
      return lines.put(next({ ...moved(line, operation.start, operation.end), held: true }))
    }
    case 'speaker':
      for (const line of present(lines, operation.ids)) lines.put({ ...line, speaker: operation.speaker })
      return
    case 'check':
      for (const line of present(lines, operation.ids)) lines.put({ ...line, checked: operation.on })
      return
    case 'put':
      return put(lines, operation)
    default: // it changes no line
  }
}

/** The operations that lead back to what the lines were when they were marked. */
export function wayBack(lines: LineList): Operation[] {
  const { lines: changed, before, gone } = lines.changes()
  const back: Operation[] = []
  const edited = changed.filter((line) => {
    const old = before.get(line.id)
    return !old || contentOf(old) !== contentOf(line)
  })
  if (edited.length || gone.length)
    back.push({
      op: 'put',
      v: Object.fromEntries(edited.map((line) => [line.id, line.content!])),
      lines: [...edited.map(({ id }) => id), ...gone].flatMap((id) => before.get(id) ?? []) as PutLines['lines'],
      gone: edited.filter(({ id }) => !before.has(id)).map(({ id }) => id),
    })
  const known = changed.filter(({ id }) => before.has(id)).map((line) => [line, before.get(line.id)!] as const)
  const spoke = known.filter(([line, old]) => line.speaker !== old.speaker)
  for (const speaker of new Set(spoke.map(([, old]) => old.speaker)))
    back.push({ op: 'speaker', ids: idsOf(spoke.filter(([, old]) => old.speaker === speaker)), speaker })
  for (const on of [true, false]) {
    const ids = idsOf(known.filter(([line, old]) => old.checked === on && line.checked !== on))
    if (ids.length) back.push({ op: 'check', ids, on })
  }
  return back
}
const idsOf = (pairs: (readonly [Line, Line])[]): string[] => pairs.map(([{ id }]) => id)

/** What a line became with another text. The same change is done whenever the lines are folded anew. */
const rewritten = new WeakMap<Line, { now: Line; text: string; room: Room }>()

/** Give a line another text. Its times follow its words, unless they were set by hand. */
function write(lines: LineList, line: Line, text: string): void {
  if (!text) return lines.remove(line.id)
  if (text === line.text) return
  const room = roomOf(lines, line)
  const known = rewritten.get(line)
  if (known?.text === text && known.room[0] === room[0] && known.room[1] === room[1]) return lines.put(known.now)
  const now = next(withText(lines, line, text, room))
  rewritten.set(line, { now, text, room })
  lines.put(now)
}

/** The end of the line before and the start of the line behind, in seconds. */
type Room = readonly [earliest: number, latest: number]
const roomOf = (lines: LineList, line: Line): Room => [
  lines.neighbour(line, -1)?.end ?? 0,
  lines.neighbour(line, 1)?.start ?? Infinity,
]

/** A line with another text, and its words. */
export function withText(lines: LineList, line: Line, text: string, [earliest, latest] = roomOf(lines, line)): Line {
  const words = line.words.length ? retime(line.words, text, earliest, latest) : []
  const { start } = words[0] ?? line
  const { end } = words.at(-1) ?? line
  return { ...line, text, words, ...(line.held || start >= end ? {} : { start, end }) }
}

/** `at` counts code points. */
function split(lines: LineList, line: Line, at: number, id: string): void {
  mustBeNew(lines, id)
  const place = [...line.text].slice(0, at).join('').length
  const left = line.text.slice(0, place).trimEnd()
  const right = line.text.slice(place).trimStart()
  if (!left || !right) throw new Refused('split')
  const [first, second] = cutWords(line, place)
  const share = characters(left) / (characters(left) + characters(right))
  const middle = line.start + (line.end - line.start) * share
  const position = lines.positionBehind(line)
  const whole = lines.get(line.id)! // its position may be another one now
  lines.put(next({ ...whole, text: left, words: first, end: first.at(-1)?.end ?? middle }))
  const { chunk, end, language, speaker, held, checked } = whole
  const start = second[0]?.start ?? middle
  lines.put({ ...written(id, chunk, position, start, end, right, second), language, speaker, held, checked })
}

function merge(lines: LineList, [first, ...others]: Line[]): void {
  let merged = first!
  for (const other of others) {
    lines.remove(other.id)
    merged = joined(merged, other)
  }
  lines.put(next(merged))
}

/** Lines that follow each other, as they are now. */
function inARow(lines: LineList, { ids, v }: { ids: string[]; v: number[] }): Line[] {
  const found = ids.map((id, at) => current(lines, id, v[at]))
  found.slice(1).forEach((line, at) => {
    if (lines.neighbour(found[at]!, 1)?.id !== line.id) throw new Refused('not_neighbours')
  })
  return found
}

/** What was recognised again takes the place of lines that follow each other. */
function useHeard(lines: LineList, operation: Extract<ClientOperation, { op: 'heard' }>): void {
  const replaced = inARow(lines, operation)
  for (const { id } of operation.lines) mustBeNew(lines, id)
  for (const { id } of replaced) lines.remove(id)
  let { position } = replaced[0]!
  const { chunk, speaker } = replaced[0]!
  const same = replaced.every((line) => line.speaker === speaker)
  for (const { id, start, end, words = [], language = null, ...heard } of operation.lines) {
    const text = clean(heard.text)
    if (!text) throw new Refused('empty')
    const timed = words.map((word) => ({ ...word, by: 'machine' as const }))
    const line = written(id, chunk, position, start, end, text, timed)
    lines.put({ ...line, language, speaker: same ? speaker : null, source: `machine:${operation.model}` })
    position = lines.positionBehind(line)
  }
}

function insert(lines: LineList, operation: Extract<ClientOperation, { op: 'insert' }>): void {
  const { after, new: id, start, end } = operation
  mustBeNew(lines, id)
  const text = clean(operation.text)
  if (!text || start >= end) throw new Refused('empty')
  const words = spread(splitWords(text), start, end)
  const [first] = lines.items
  if (after === null) {
    lines.put(written(id, first?.chunk ?? 0, first ? first.position - 1 : 0, start, end, text, words))
  } else {
    const [before] = present(lines, [after]) as [Line]
    lines.put(written(id, before.chunk, lines.positionBehind(before), start, end, text, words))
  }
}

function put(lines: LineList, { v, lines: old, gone = [] }: PutLines): void {
  for (const id of [...(old ?? []).map((line) => line.id), ...gone]) {
    const line = lines.get(id)
    const content = line && contentOf(line)
    if ((line !== undefined && content === undefined) || content === v[id]) continue // of an unknown one the service knows
    throw new Refused('conflict')
  }
  for (const id of gone) lines.remove(id)
  for (const line of (old ?? []) as Line[]) {
    const now = lines.get(line.id)
    const kept = now ? { speaker: now.speaker, checked: now.checked } : {}
    lines.put({ ...line, ...kept, version: Math.max(line.version, now?.version ?? 0) + 1 })
  }
}

function written(
  id: string,
  chunk: number,
  position: number,
  start: number,
  end: number,
  text: string,
  words: Line['words'],
): Line {
  const fresh = { version: 1, content: 1, index: -1, language: null, speaker: null, held: false, checked: false }
  return { ...fresh, id, chunk, position, start, end, text, words, source: 'person' }
}

function current(lines: LineList, id: string, version: number | undefined): Line {
  const line = lines.get(id)
  if (line?.version !== version || !line) throw new Refused('conflict')
  return line
}

function present(lines: LineList, ids: string[]): Line[] {
  const found = ids.flatMap((id) => lines.get(id) ?? [])
  if (found.length < ids.length) throw new Refused('conflict')
  return found
}

function mustBeNew(lines: LineList, id: string): void {
  if (lines.get(id) || /^c\d{1,9}\.\d{1,9}$/.test(id)) throw new Refused('id_taken')
}

const next = (line: Line): Line => ({ ...line, version: line.version + 1, content: line.version + 1 })

/** Raises `Refused` for a line that cannot be stored. */
function check(lines: LineList, line: Line, old: Line | undefined): void {
  if (characters(line.text) > MAX_CHARACTERS) throw new Refused('too_long')
  if (old?.start === line.start && old.end === line.end) return
  if (line.start >= line.end) throw new Refused('no_time')
  const before = lines.neighbour(line, -1)
  const behind = lines.neighbour(line, 1)
  if ((before && before.start > line.start) || (behind && behind.start < line.start)) throw new Refused('order')
}
