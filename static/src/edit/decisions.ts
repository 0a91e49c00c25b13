// Lines that two people changed in ways that do not go together: who it was, and what the person here decides.
import { computed, shallowRef, watch, type ComputedRef } from 'vue'
import { request } from '../api.ts'
import type { ClientOperation, EditList } from '../types.ts'
import { newId, type Act } from './changes.ts'
import type { Queue } from './queue.ts'
import { LEAST_S, type Clash } from './rebase.ts'
import { TAB } from './recovery.ts'
import { joint } from './words.ts'

/** A line that needs a decision. `gone`: it was deleted, and what was typed into it is a line of its own. */
export interface Conflict extends Clash {
  author: string // '': nobody gave a name
  at: number | null // Unix seconds; null: not known yet
}
export type Choice = 'mine' | 'theirs' | 'both'
type Author = Pick<Conflict, 'author' | 'at'>

const UNKNOWN: Author = { author: '', at: null }
const LOOKED_AT = 50 // edits

/** Who changed one of these lines last, of all others. */
export async function lastAuthor(job: string, ids: string[]): Promise<Author> {
  const answer = await request<EditList>('GET', `/api/jobs/${job}/edits?limit=${LOOKED_AT}`)
  if (!answer.ok) return UNKNOWN
  const found = answer.value.edits.find(({ client, kind, operations }) => {
    const text = JSON.stringify(operations)
    return client !== TAB && kind !== 'align' && ids.some((id) => text.includes(`"${id}"`))
  })
  return found ? { author: found.author, at: found.at } : UNKNOWN
}

/** The lines that need a decision, by ID. */
export function useConflicts(queue: Queue): { conflicts: ComputedRef<Record<string, Conflict>>; stop: () => void } {
  const authors = shallowRef<Record<string, Author>>({})
  const conflicts = computed(() => {
    const clashes = [...queue.view.value.clashes, ...queue.kept].filter(
      ([id, { gone }]) => !gone || !queue.noticed.has(id),
    )
    return Object.fromEntries(clashes.map(([id, clash]) => [id, { ...clash, ...(authors.value[id] ?? UNKNOWN) }]))
  })
  const stop = watch(conflicts, (now) => {
    for (const id of Object.keys(now)) {
      if (authors.value[id]) continue
      authors.value = { ...authors.value, [id]: UNKNOWN }
      const old = [...queue.moved, ...queue.view.value.moved].flatMap(([from, to]) => (to === id ? from : []))
      void lastAuthor(queue.job, [id, ...old]).then((author) => {
        authors.value = { ...authors.value, [id]: author }
      })
    }
  })
  return { conflicts, stop }
}

/**
 * Do what a person decided about a line. `perform` does operations, or says that they cannot be done; `keep` makes a
 * change of a text that needs a decision again. Returns the batches that are not wanted any more.
 */
export function decide(
  queue: Queue,
  id: string,
  choice: Choice,
  perform: (operations: ClientOperation[]) => boolean,
  keep: (act: Act) => void,
): string[] {
  const clash = queue.view.value.clashes.get(id)
  if (queue.kept.has(id) || clash?.gone) {
    queue.kept.delete(id)
    queue.noticed.add(id)
    queue.refresh()
    if (choice === 'theirs') perform([{ op: 'delete', id, v: 0 }])
    return []
  }
  if (!clash) return []
  const { mine: text, theirs } = clash
  const old = queue.view.value.lines.find((one) => one.id === id)!
  const dropped = queue.withdraw(id)
  if (choice === 'theirs') return dropped
  const write = (text: string) => perform([{ op: 'text', id, v: 0, text }])
  /** The line may be joined to another one now, by an act that waited too; and a new line may not fit. */
  const add = (): boolean => {
    const { lines } = queue.view.value
    const at = lines.findIndex((one) => one.id === id)
    const line = lines[at]
    if (!line) return false
    const start = Math.min((line.start + line.end) / 2, lines[at + 1]?.start ?? Infinity)
    const end = Math.max(line.end, start + LEAST_S)
    const insert = perform([{ op: 'insert', after: id, new: newId(), start, end, text }])
    return insert || write(theirs + joint(theirs, text) + text)
  }
  if (!(choice === 'mine' ? write(text) : add())) {
    const { start, end } = old
    keep({ operation: { op: 'text', id, v: 0, text }, base: { text: '', start, end, before: null } })
  }
  return dropped
}
