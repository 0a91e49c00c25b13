// What takes the place of finds in the text of one transcript.
import { lineId } from '../transcript_text.ts'
import type { ClientOperation } from '../types.ts'
import { isReplaceable, type Finding } from './finding.ts'
import type { Hit } from './hits.ts'
import { MAX_CHARACTERS } from './apply.ts'

/** A text with other words at these places, which are in order. */
export function withReplacement(text: string, places: readonly (readonly [number, number])[], by: string): string {
  let at = 0
  let result = ''
  for (const [from, to] of places) {
    result += text.slice(at, from) + by
    at = to
  }
  return result + text.slice(at)
}

/** What a line becomes when these finds in it are replaced. */
function operationFor(
  { lines, replacement }: Finding,
  segment: number,
  found: readonly Hit[],
): Extract<ClientOperation, { op: 'text' }> {
  const line = lines.value[segment]!
  const places = found.map(({ from, to }) => [from, to] as const)
  const text = withReplacement(line.text.trim(), places, replacement.value)
  return { op: 'text', id: lineId(line), v: line.version ?? 0, text }
}

/** Replace the chosen find and go to the next one. Null: it could not be replaced. */
export function replaceOne(finding: Finding): number | null {
  const { hits, hit, replacement, session, step, show } = finding
  const one = hits.value[hit.value]
  if (!one || !isReplaceable(one)) {
    step(1)
    return 0
  }
  const operation = operationFor(finding, one.segment, [one])
  const end = one.from + replacement.value.length
  if (operation.text.length > MAX_CHARACTERS) return null
  const [before, after] = [one.from, end].map((offset) => ({ id: operation.id, offset }))
  if (!session.perform([operation], before, after)) return null
  const isGone = !operation.text.trim()
  const next = hits.value.findIndex(
    ({ segment, from }) => segment > one.segment || (segment === one.segment && (isGone || from >= end)),
  )
  hit.value = Math.max(0, next)
  show()
  return 1
}

/** Replace every find, in one act. Null: a line would become too long. */
export function replaceAll(finding: Finding): number | null {
  const { replaceable, session } = finding
  const found = new Map<number, Hit[]>()
  for (const one of replaceable.value) {
    const those = found.get(one.segment)
    if (those) those.push(one)
    else found.set(one.segment, [one])
  }
  const operations = [...found].map(([segment, those]) => operationFor(finding, segment, those))
  if (operations.some(({ text }) => text.length > MAX_CHARACTERS)) return null
  const count = replaceable.value.length
  if (!operations.length) return 0
  const at = { id: operations[0]!.id, offset: replaceable.value[0]!.from }
  return session.perform(operations, at, at) ? count : null
}
