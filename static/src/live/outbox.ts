// Recorded sound that the service does not have yet, in IndexedDB: it survives a closed tab, a crash, and a dead service.

/** A recording of this browser that is not finished at the service. */
export interface Recording {
  key: string
  job: string | null // null: the service does not know of it yet
  name: string
  begun: number // Unix milliseconds
  rate: number // samples per second, 16 bits each, one channel
  source: string
  options: Record<string, string | number>
  stopped: boolean // a person has ended it, nothing more is recorded
}
/** A piece of sound and how many bytes come before it. */
export interface Piece {
  at: number
  data: ArrayBuffer
}
interface Row extends Piece {
  key: string
}

export const SAMPLE_BYTES = 2
const NAME = 'recordings'

let opened: Promise<IDBDatabase | null> | undefined

/** Null: this browser stores nothing, as in private windows of some. */
function database(): Promise<IDBDatabase | null> {
  opened ??= new Promise((done) => {
    try {
      const request = indexedDB.open(NAME, 1)
      request.onupgradeneeded = () => {
        request.result.createObjectStore('recordings', { keyPath: 'key' })
        request.result.createObjectStore('pieces', { keyPath: ['key', 'at'] })
      }
      request.onsuccess = () => {
        request.result.onversionchange = () => request.result.close()
        request.result.onclose = () => (opened = undefined)
        done(request.result)
      }
      request.onerror = () => done(null)
    } catch {
      done(null)
    }
  })
  return opened
}

/**
 * Do something in one transaction. Rejects if it failed: nothing is changed then. What is relaxed outlives the browser, and
 * a loss of power after some seconds: ten waits for the disk a second would cost a phone its battery.
 */
async function within<T>(
  mode: IDBTransactionMode,
  durability: IDBTransactionDurability,
  act: (recordings: IDBObjectStore, pieces: IDBObjectStore) => IDBRequest<T> | void,
): Promise<T | undefined> {
  const found = await database()
  if (!found) throw new Error('this browser stores nothing')
  return new Promise((done, failed) => {
    let transaction: IDBTransaction
    try {
      transaction = found.transaction(['recordings', 'pieces'], mode, { durability })
    } catch (error) {
      opened = undefined // the browser closed it: the next time it is opened again
      return failed(error as Error)
    }
    const request = act(transaction.objectStore('recordings'), transaction.objectStore('pieces'))
    transaction.oncomplete = () => done(request?.result)
    transaction.onabort = () => failed(transaction.error ?? new Error('aborted'))
  })
}

const all = (key: string, from = 0, to = Infinity) => IDBKeyRange.bound([key, from], [key, to], false, true)

export const putRecording = (recording: Recording): Promise<unknown> =>
  within('readwrite', 'strict', (rows) => rows.put({ ...recording, options: { ...recording.options } }))

/** The recordings in store, the oldest first. None where this browser stores nothing. */
export async function recordings(): Promise<Recording[]> {
  const found = await within<Recording[]>('readonly', 'relaxed', (rows) => rows.getAll()).catch(() => [])
  return (found ?? []).sort((one, other) => one.begun - other.begun)
}

/** Forget a recording with all that is left of it. */
export const removeRecording = (key: string): Promise<unknown> =>
  within('readwrite', 'strict', (rows, pieces) => {
    rows.delete(key)
    pieces.delete(all(key))
  })

export const putPieces = (key: string, pieces: readonly Piece[]): Promise<unknown> =>
  within('readwrite', 'relaxed', (_, rows) => {
    for (const { at, data } of pieces) rows.put({ key, at, data } satisfies Row)
  })

/** The oldest pieces of a recording, at most so many. */
export const firstPieces = async (key: string, most: number): Promise<Piece[]> =>
  (await within<Row[]>('readonly', 'relaxed', (_, pieces) => pieces.getAll(all(key), most))) ?? []

/** Forget the pieces that begin before a byte. */
export const removePieces = (key: string, before: number): Promise<unknown> =>
  within('readwrite', 'relaxed', (_, pieces) => void pieces.delete(all(key, 0, before)))

/** Where the sound in store begins and ends, in bytes. Null: there is none. */
export async function extent(key: string): Promise<{ from: number; to: number } | null> {
  const [first] = await firstPieces(key, 1)
  if (!first) return null
  let to = first.at
  await within('readonly', 'relaxed', (_, pieces) => {
    pieces.openCursor(all(key), 'prev').onsuccess = ({ target }) => {
      const row = (target as IDBRequest<IDBCursorWithValue | null>).result?.value as Row | undefined
      if (row) to = row.at + row.data.byteLength
    }
  })
  return { from: first.at, to }
}
