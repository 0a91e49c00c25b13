// What a person does to lines as a whole, in operations of the service.
import { lineId as idOf } from '../transcript_text.ts'
import type { ClientOperation, Segment } from '../types.ts'
import { newId } from './changes.ts'
import { characters } from './cutting.ts'
import type { Place, Session } from './session.ts'
import { joint } from './words.ts'

export { idOf }

const LONGEST_S = 4 // of a new line in a long pause
const LEAST_S = 0.5 // of a new line where there is no pause

const versionOf = ({ version }: Segment): number => version ?? 0
const indexOf = (lines: readonly Segment[], id: string) => lines.findIndex((line) => idOf(line) === id)

/** Cut a line at an offset of its text, in UTF-16 units. The ID of the second line. Null: it cannot be cut there. */
export function split(session: Session, id: string, text: string, offset: number): string | null {
  const line = session.lines.value[indexOf(session.lines.value, id)]
  if (!line) return null
  const made = newId()
  const said = text.slice(0, offset).trimStart()
  const at = characters(line.text.startsWith(said) ? said : line.text.slice(0, said.length))
  const operation: ClientOperation = { op: 'split', id, v: versionOf(line), at, new: made }
  return session.perform([operation], { id, offset }, { id: made, offset: 0 }) ? made : null
}

/** Join a line with the one below (1) or above (-1). Where the caret stands then. Null: there is no such line. */
export function join(session: Session, id: string, step: 1 | -1, offset = 0): Place | null {
  const at = indexOf(session.lines.value, id)
  const [first, second] = [session.lines.value[step < 0 ? at - 1 : at], session.lines.value[step < 0 ? at : at + 1]]
  if (at < 0 || !first || !second) return null
  const [before, behind] = [first.text.trim(), second.text.trim()]
  const to = {
    id: idOf(first),
    offset: step > 0 ? Math.min(offset, before.length) : before.length + joint(before, behind).length,
  }
  const operation: ClientOperation = {
    op: 'merge',
    ids: [idOf(first), idOf(second)],
    v: [versionOf(first), versionOf(second)],
  }
  return session.perform([operation], { id, offset }, to) ? to : null
}

/** Delete a line. False: it is gone already. */
export function remove(session: Session, id: string): boolean {
  const at = indexOf(session.lines.value, id)
  const line = session.lines.value[at]
  if (!line) return false
  const near = session.lines.value[at + 1] ?? session.lines.value[at - 1]
  const after = near ? { id: idOf(near), offset: 0 } : null
  return session.perform([{ op: 'delete', id, v: versionOf(line) }], { id, offset: 0 }, after)
}

/**
 * Give a line the first of some texts, and make lines of the others behind it. Where the caret stands then: at `offset` of
 * the last one.
 */
export function writeLines(
  session: Session,
  id: string,
  texts: string[],
  before: Place,
  offset = texts.at(-1)?.length ?? 0,
): Place | null {
  const line = session.lines.value[indexOf(session.lines.value, id)]
  if (!line || !texts.length) return null
  const whole = texts.join(' ')
  let v = versionOf(line)
  const operations: ClientOperation[] = []
  if (whole !== line.text) operations.push({ op: 'text', id, v: v++, text: whole })
  let to: Place = { id, offset }
  for (let nth = texts.length - 1; nth > 0; nth -= 1) {
    const made = newId()
    if (nth === texts.length - 1) to = { id: made, offset }
    operations.push({ op: 'split', id, v: v++, at: characters(texts.slice(0, nth).join(' ')), new: made })
  }
  return session.perform(operations, before, to) ? to : null
}

/** The times of a new line, in seconds: in the pause behind a line, or at the beginning. */
export function pauseBehind(lines: readonly Segment[], after: string | null): { start: number; end: number } {
  const at = after === null ? -1 : indexOf(lines, after)
  const start = lines[at]?.end ?? 0
  const next = lines[at + 1]
  if (!next) return { start, end: start + LONGEST_S }
  if (next.start - start >= LEAST_S) return { start, end: Math.min(next.start, start + LONGEST_S) }
  // No pause: as late as the next line allows, and a moment long.
  const begin = Math.max(lines[at]?.start ?? 0, Math.min(start, next.start))
  return { start: begin, end: begin + LEAST_S }
}
