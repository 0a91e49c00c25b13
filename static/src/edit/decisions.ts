// Lines that two people changed in ways that do not go together: who it was, and what the person here decides.
import { computed, shallowRef, watch, type ComputedRef } from 'vue'
import { request } from '../api.ts'
import type { ClientOperation, EditList } from '../types.ts'
import { newId } from './changes.ts'
import type { Queue } from './queue.ts'
import type { Clash } from './rebase.ts'
import { TAB } from './recovery.ts'

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
  const found = answer.value.edits.find(({ client, operations }) => {
    const text = JSON.stringify(operations)
    return client !== TAB && ids.some((id) => text.includes(`"${id}"`))
  })
  return found ? { author: found.author, at: found.at } : UNKNOWN
}

/** The lines that need a decision, by ID. */
export function useConflicts(queue: Queue): { conflicts: ComputedRef<Record<string, Conflict>>; stop: () => void } {
  const authors = shallowRef<Record<string, Author>>({})
  const conflicts = computed(() => {
    const clashes = [...queue.view.value.clashes, ...queue.kept].filter(([id]) => !queue.noticed.has(id))
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

/** Do what a person decided about a line. Returns the operations for it, and the batches that are not wanted any more. */
export function decide(queue: Queue, id: string, choice: Choice): { operations: ClientOperation[]; dropped: string[] } {
  const { clashes, lines } = queue.view.value
  const kept = queue.kept.has(id) || clashes.get(id)?.gone
  const clash = clashes.get(id)
  if (kept) {
    queue.kept.delete(id)
    queue.noticed.add(id)
    const operations: ClientOperation[] = choice === 'theirs' ? [{ op: 'delete', id, v: 0 }] : []
    queue.refresh()
    return { operations, dropped: [] }
  }
  const line = lines.find((one) => one.id === id)
  if (!clash || !line) return { operations: [], dropped: [] }
  const dropped = queue.withdraw(id)
  const { start, end } = line
  const text = clash.mine
  const mine: ClientOperation = { op: 'text', id, v: 0, text }
  const second: ClientOperation = { op: 'insert', after: id, new: newId(), start: (start + end) / 2, end, text }
  return { operations: choice === 'theirs' ? [] : [choice === 'mine' ? mine : second], dropped }
}
