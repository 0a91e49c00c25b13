// Changes that the service does not have yet, in IndexedDB: they survive a closed tab, a crash, and a dead service.
import type { Change } from './changes.ts'

const NAME = 'edits'
const STORE = 'changes'
const KEPT_MS = 90 * 24 * 3600 * 1000 // of transcripts that were deleted

let opened: Promise<IDBDatabase | null> | undefined

/** Null: this browser stores nothing, as in private windows of some. */
function database(): Promise<IDBDatabase | null> {
  opened ??= new Promise((done) => {
    try {
      const request = indexedDB.open(NAME, 1)
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'batch' })
      request.onsuccess = () => {
        request.result.onversionchange = () => request.result.close()
        done(request.result)
      }
      request.onerror = () => done(null)
    } catch {
      done(null)
    }
  })
  return opened
}

/** Do something with the store in one transaction. Null: it failed, and nothing is changed. */
async function within<T>(
  mode: IDBTransactionMode,
  act: (store: IDBObjectStore) => IDBRequest<T> | void,
): Promise<{ value: T | undefined } | null> {
  const found = await database()
  if (!found) return null
  return new Promise((done) => {
    try {
      const transaction = found.transaction(STORE, mode, { durability: 'strict' })
      const request = act(transaction.objectStore(STORE))
      transaction.commit() // at once: a page that is left may not live until its requests are answered
      transaction.oncomplete = () => done({ value: request?.result })
      transaction.onabort = () => done(null)
    } catch {
      opened = undefined // the browser closed it: the next time it is opened again
      done(null)
    }
  })
}

/** Store changes and forget others, as a whole. False: the browser stores nothing. */
export async function store(changes: Change[], gone: string[] = []): Promise<boolean> {
  const written = await within('readwrite', (rows) => {
    for (const change of changes) rows.put(change)
    for (const batch of gone) rows.delete(batch)
  })
  return written !== null
}

/** All changes in store, the oldest first. Null: the browser stores nothing. */
export async function stored(): Promise<Change[] | null> {
  const found = await within<Change[]>('readonly', (rows) => rows.getAll())
  if (!found) return null
  const changes = found.value ?? []
  const old = changes.filter(({ order }) => order < Date.now() - KEPT_MS)
  if (old.length)
    void store(
      [],
      old.map(({ batch }) => batch),
    )
  return changes.filter((change) => !old.includes(change)).sort((one, other) => one.order - other.order)
}
