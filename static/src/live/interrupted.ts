// Recordings whose tab is gone: a crash, a reload, a phone that ran out of power. What they have left is sent by itself; a person
// decides whether more is recorded. A browser frees the lock of a tab that is gone, and whoever waited for it takes over.
import { reactive } from 'vue'
import { listen } from '../store.ts'
import type { Problem } from '../types.ts'
import { holdLock, type Held } from './locks.ts'
import { FLAG } from './on_air.ts'
import { extent, firstPieces, putRecording, recordings, removeRecording, type Recording } from './outbox.ts'
import { Sender, seconds, statusOf } from './sender.ts'
import { sentAll } from './sent_all.ts'
import { wavOf } from './wav.ts'

export interface Interrupted {
  key: string
  begun: number // Unix milliseconds
  left_s: number // seconds of sound that are not sent yet
  open: boolean // all is sent, and more may be recorded
  problem: Problem | null // why nothing leaves now
  failed: Problem | null // why the service takes no more of it
}
export const interrupted = reactive<Interrupted[]>([])

interface Work {
  recording: Recording
  lock: Held
  sender: Sender
  end: number // bytes of the whole recording so far
}
const works = new Map<string, Work>()
const awaited = new Set<string>()
const AGAIN_MS = 3_000

/** Look for recordings of tabs that are gone, and of those that will go. */
export async function findInterrupted(): Promise<void> {
  for (const { key } of await recordings())
    if (!awaited.has(key)) {
      awaited.add(key)
      void holdLock(`recording ${key}`, true).then((lock) => adopt(key, lock!))
    }
}

async function adopt(key: string, lock: Held): Promise<void> {
  const recording = (await recordings()).find((one) => one.key === key)
  const rest = recording && (await extent(key))
  const status = recording?.job && !rest ? await statusKnown(recording.job) : null
  const isOver = !rest && (!status || status.ended) // nothing came of it, or the service has all and ended it
  if (recording && isOver) await removeRecording(key)
  if (!recording || isOver) return leave(key, lock)
  const end = rest?.to ?? status!.offset
  const shown = reactive<Interrupted>({
    ...{ key, begun: recording.begun, left_s: rest ? seconds(rest.to - rest.from, recording) : 0 },
    ...{ open: !rest && !recording.stopped, problem: null, failed: null },
  })
  const sender = new Sender(recording, rest?.from ?? end, {
    acknowledged(bytes) {
      shown.left_s = Math.max(0, seconds(end - bytes, recording))
      shown.open = bytes >= end && !recording.stopped
    },
    trouble(problem) {
      shown.problem = problem
    },
    known: () => undefined,
  })
  works.set(key, { recording, lock, sender, end })
  interrupted.push(shown)
  const outcome = await sender.run()
  if (!outcome) return // a person goes on with it
  if ('problem' in outcome) {
    const left = await extent(key)
    const reached = recording.job && left ? ((await statusOf(recording.job))?.offset ?? 0) : 0
    shown.failed = outcome.problem
    shown.left_s = left ? seconds(left.to - left.from, recording) : 0
    if (left && reached < left.to) return
    await removeRecording(key) // it ended elsewhere, with all of its sound
  } else sentAll(outcome.job, recording.begun)
  forget(key)
  leave(key, lock)
}

/** Ask until the service answers. */
async function statusKnown(job: string): Promise<NonNullable<Awaited<ReturnType<typeof statusOf>>>> {
  for (;;) {
    const status = await statusOf(job)
    if (status) return status
    await new Promise((done) => setTimeout(done, AGAIN_MS))
  }
}

function forget(key: string): void {
  works.delete(key)
  const index = interrupted.findIndex((one) => one.key === key)
  if (index >= 0) interrupted.splice(index, 1)
}

function leave(key: string, lock: Held): void {
  awaited.delete(key)
  lock.release()
  void tidy()
}

/** Forget the flag when no recording is left. */
export async function tidy(): Promise<void> {
  if (!(await recordings()).length) localStorage.removeItem(FLAG)
}

/** No more is recorded: end it when the rest is sent. */
export async function finishInterrupted(key: string): Promise<void> {
  const work = works.get(key)
  if (!work) return
  work.recording.stopped = true
  await putRecording(work.recording).catch(() => undefined)
  work.sender.wake()
}

/** Give a recording to a recorder that goes on behind its `end`. It is taken back if `take` returns false. */
export async function handOver(
  key: string,
  take: (recording: Recording, end: number, lock: Held) => Promise<boolean>,
): Promise<void> {
  const work = works.get(key)
  if (!work) return
  work.sender.close()
  forget(key)
  if (await take(work.recording, work.end, work.lock)) awaited.delete(key)
  else await adopt(key, work.lock)
}

/** Forget what is left of a recording that the service takes no more of. */
export async function discardInterrupted(key: string): Promise<void> {
  const work = works.get(key)
  await removeRecording(key)
  forget(key)
  if (work) leave(key, work.lock)
}

/** Give what is left of a recording to the browser as a file. */
export async function saveInterrupted(key: string, name: string): Promise<void> {
  const work = works.get(key)
  if (!work) return
  const pieces = await firstPieces(key, 2 ** 31)
  const url = URL.createObjectURL(
    new Blob(
      wavOf(
        pieces.map(({ data }) => data),
        work.recording.rate,
      ),
      { type: 'audio/wav' },
    ),
  )
  Object.assign(document.createElement('a'), { href: url, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}

const hurry = (): void => {
  for (const { sender } of works.values()) sender.hurry()
}
addEventListener('online', hurry)
addEventListener('focus', () => void findInterrupted())
listen((message) => {
  if (message.type === 'connection' && message.connection === 'live') hurry()
})
addEventListener('beforeunload', (event) => {
  if (interrupted.some(({ left_s, failed }) => left_s > 0 && !failed)) event.preventDefault()
})
