// Finds changes of tabs that are gone. A tab that has changes of its own holds a lock, so that others leave them alone.
// Where a browser has no locks, two tabs may send the same change: the service makes it once.
import { newId, type Change } from './changes.ts'
import { store, stored } from './outbox.ts'

/** Who this tab is in the outbox and in the log of edits. */
export const TAB = newId()
const LOCK = 'edits '
const locks = (globalThis.navigator as Navigator | undefined)?.locks as LockManager | undefined

const busy = new Set<string>() // transcripts with changes of this tab
let release: (() => void) | null = null
let granted: Promise<unknown> | undefined // the lock

/** Say whether this tab has changes of a transcript. */
export function hold(job: string, has: boolean): void {
  if (has) busy.add(job)
  else busy.delete(job)
  if (busy.size && !release) {
    const done = new Promise<void>((free) => {
      release = free
    })
    granted = new Promise<void>((now) => {
      void locks?.request(LOCK + TAB, () => (now(), done))
    })
  } else if (!busy.size && release) {
    release() // so that the browser may keep the page for the way back
    release = null
  }
}

/** The tabs that have changes, as their locks say. */
const heldNames = async (): Promise<unknown[]> => (await locks?.query())?.held?.map(({ name }) => name) ?? []

/** The transcripts with changes whose tabs are gone. None where nobody can tell, as the browser has no locks. */
export async function abandoned(): Promise<string[]> {
  const changes = (locks && (await stored())) || []
  const names = changes.length ? await heldNames() : []
  const left = changes.filter(({ tab }) => tab !== TAB && !names.includes(LOCK + tab))
  return [...new Set(left.map(({ job }) => job))]
}

const awaited = new Set<string>() // transcripts and tabs that are waited for

/**
 * Take over the changes of a transcript whose tabs are gone, the oldest first. Null: this browser stores nothing.
 * `later` is called when a tab that has changes still has sent them or is gone: a page that is loaded anew may come
 * before the browser has freed the lock of the old one.
 */
export async function recover(job: string, later: () => void): Promise<Change[] | null> {
  const take = async (): Promise<Change[] | null> => {
    const changes = await stored()
    if (!changes) return null
    const names = await heldNames()
    const others = changes.filter((change) => change.job === job && change.tab !== TAB)
    const found: Change[] = []
    for (const change of others)
      if (names.includes(LOCK + change.tab)) wait(job, change.tab, later)
      else found.push(change)
    for (const change of found) Object.assign(change, { tab: TAB, open: false })
    if (found.length) {
      hold(job, true)
      if (locks) await granted // else another tab that looks now would find them without an owner
      await store(found)
    }
    return found
  }
  return locks ? locks.request('recovered edits', take) : take()
}

function wait(job: string, tab: string, later: () => void): void {
  const key = `${job} ${tab}`
  if (awaited.has(key)) return
  awaited.add(key)
  void locks?.request(LOCK + tab, () => awaited.delete(key)).then(later)
}
