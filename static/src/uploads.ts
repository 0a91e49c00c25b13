// Uploads: two at a time, in pieces that survive cuts and reloads (tus). The new job arrives over the live connection.
import { reactive } from 'vue'
import type { DetailedError, PreviousUpload, Upload as TusUpload } from 'tus-js-client'
import { pageProblem, request, serviceUrl } from './api.ts'
import { jobOptions } from './preferences.ts'
import { state } from './store.ts'
import type { Job, Problem } from './types.ts'

export interface Upload {
  key: number
  file: File
  options: Record<string, string | number>
  sent: number
  speed: number // bytes per second, smoothed
  state: 'waiting' | 'sending' | 'cut' | 'paused' | 'failed' | 'known'
  problem: Problem | null
  twin: string | null // a job with the same name and size
}
/** An upload that an earlier visit began and did not finish. */
export interface Unfinished {
  key: string
  url: string
  name: string
  size: number
  sent: number
}

const AT_ONCE = 2
const PIECE_BYTES = 8 * 2 ** 20
const RETRY_DELAYS_MS = [500, 1_000, 2_000, ...Array<number>(120).fill(5_000)] // ten minutes without a byte
const TUS = { 'Tus-Resumable': '1.0.0' }
let lastKey = 0

const loadTus = () => import('tus-js-client') // with the first upload

export const uploads = reactive<Upload[]>([])
export const unfinished = reactive<Unfinished[]>([])
const senders = new Map<number, TusUpload>()

export function addUploads(files: Iterable<File>): void {
  for (const file of files) {
    const twin = Object.values(state.value.jobs).find(
      (job) => job.name === file.name && job.bytes === file.size && job.status !== 'failed',
    )
    uploads.push({
      key: ++lastKey,
      file,
      options: jobOptions(),
      sent: 0,
      speed: 0,
      state: twin ? 'known' : 'waiting',
      problem: null,
      twin: twin?.id ?? null,
    })
  }
  startWaiting()
}

/** Take an upload from the list. The service deletes what it has of it. */
export function cancelUpload(upload: Upload): void {
  void senders
    .get(upload.key)
    ?.abort(upload.state !== 'known')
    ?.catch(() => undefined)
  removeUpload(upload)
}

export function pauseUpload(upload: Upload): void {
  void senders.get(upload.key)?.abort()
  upload.state = 'paused'
  startWaiting()
}

/** Go on with an upload, or begin again after a failure. */
export function resumeUpload(upload: Upload): void {
  Object.assign(upload, { state: 'waiting', problem: null })
  startWaiting()
}

function removeUpload(upload: Upload): void {
  senders.delete(upload.key)
  const index = uploads.findIndex((other) => other.key === upload.key)
  if (index >= 0) uploads.splice(index, 1)
  startWaiting()
}

function startWaiting(): void {
  for (const upload of uploads) {
    if (uploads.filter((other) => other.state === 'sending' || other.state === 'cut').length >= AT_ONCE) return
    if (upload.state === 'waiting') void send(upload)
  }
}

function problemOf(error: Error | DetailedError): Problem {
  const response = 'originalResponse' in error ? error.originalResponse : null
  if (!response) return pageProblem('unreachable')
  try {
    return JSON.parse(response.getBody()) as Problem
  } catch {
    return pageProblem('upload_broken')
  }
}

const isTransient = (status: number): boolean =>
  (status === 0 || status >= 500 || [409, 423, 429].includes(status)) && status !== 507

async function send(upload: Upload): Promise<void> {
  upload.state = 'sending'
  let before = performance.now()
  const fail = (problem: Problem) => {
    if (!uploads.includes(upload)) return
    Object.assign(upload, { state: 'failed', problem })
    startWaiting()
  }
  const tus = await loadTus().catch(() => null)
  if (!tus) return fail(pageProblem('unreachable'))
  const sender = new tus.Upload(upload.file, {
    endpoint: serviceUrl('/api/uploads'),
    chunkSize: PIECE_BYTES,
    retryDelays: RETRY_DELAYS_MS,
    removeFingerprintOnSuccess: true,
    metadata: { filename: upload.file.name },
    onProgress(sent) {
      const now = performance.now()
      const speed = (sent - upload.sent) / Math.max(0.001, (now - before) / 1000)
      if (speed >= 0) upload.speed = upload.speed ? 0.8 * upload.speed + 0.2 * speed : speed
      upload.sent = sent
      before = now
      if (upload.state === 'cut') upload.state = 'sending'
    },
    onShouldRetry(error) {
      const transient = isTransient(error.originalResponse?.getStatus() ?? 0)
      if (transient && upload.state === 'sending') upload.state = 'cut'
      return transient
    },
    onError: (error) => fail(problemOf(error)),
    onSuccess: () => void submit(),
  })
  async function submit(): Promise<void> {
    const id = sender.url!.split('/').at(-1)!
    const answer = await request<Job>('POST', '/api/jobs', { upload: id, ...upload.options })
    if (answer.ok) removeUpload(upload)
    else fail(answer.problem)
  }
  senders.set(upload.key, sender)
  const [earlier] = await sender.findPreviousUploads()
  if (earlier) {
    sender.resumeFromPreviousUpload(earlier)
    removeUnfinished(earlier.urlStorageKey)
  }
  if (upload.state === 'sending' && uploads.includes(upload)) sender.start() // not paused or cancelled meanwhile
}

function removeUnfinished(key: string): void {
  const index = unfinished.findIndex((one) => one.key === key)
  if (index >= 0) unfinished.splice(index, 1)
}

const STORED = 'tus::' // how tus-js-client begins the keys of unfinished uploads

const loadStorage = async () => (await loadTus()).defaultOptions.urlStorage!

/** Find the uploads that an earlier visit left unfinished, and how much the service has of each. */
export async function findUnfinished(): Promise<void> {
  if (!Object.keys(localStorage).some((key) => key.startsWith(STORED))) return
  const storage = await loadStorage()
  for (const one of (await storage.findAllUploads()) as (PreviousUpload & { uploadUrl: string | null })[]) {
    const url = one.uploadUrl
    const response = url ? await fetch(url, { method: 'HEAD', headers: TUS }).catch(() => null) : null
    if (response?.ok) {
      const sent = Number(response.headers.get('Upload-Offset'))
      unfinished.push({
        key: one.urlStorageKey,
        url: url!,
        name: one.metadata.filename ?? '',
        size: one.size ?? 0,
        sent,
      })
    } else if (response) await storage.removeUpload(one.urlStorageKey) // it became a job, or it expired
  }
}

/** Delete an unfinished upload here and at the service. */
export async function discardUnfinished(one: Unfinished): Promise<void> {
  await (await loadStorage()).removeUpload(one.key)
  removeUnfinished(one.key) // what is seen to be gone stays gone, however soon the page is left
  await fetch(one.url, { method: 'DELETE', headers: TUS, keepalive: true }).catch(() => null)
}
