// Uploads: two at a time, in pieces that survive cuts and reloads (tus); the job appears through the live link like any other.
import { reactive } from 'vue'
import { defaultOptions, Upload as Tus, type DetailedError, type PreviousUpload } from 'tus-js-client'
import { address, ask, problem } from './api.ts'
import { wishes } from './preferences.ts'
import { state } from './store.ts'
import type { Job, Problem } from './types.ts'

export interface Upload {
  key: number; file: File; options: Record<string, string>; sent: number; speed: number // bytes per second, smoothed
  state: 'waiting' | 'sending' | 'cut' | 'paused' | 'failed' | 'known'; problem: Problem | null; twin: string | null
}
/** What an earlier visit began and did not end. */
export interface Unfinished { key: string; url: string; name: string; size: number; sent: number }

const AT_ONCE = 2
const PIECE = 8 * 2 ** 20
const WAITS_MS = [500, 1_000, 2_000, ...Array<number>(120).fill(5_000)] // ten minutes without a byte; each byte begins anew
let last = 0

export const uploads = reactive<Upload[]>([])
export const unfinished = reactive<Unfinished[]>([])
const senders = new Map<number, Tus>()

export function add(files: Iterable<File>): void {
  for (const file of files) {
    const twin = Object.values(state.value.jobs).find((job) => job.name === file.name && job.bytes === file.size && job.status !== 'failed')
    uploads.push({ key: ++last, file, options: wishes(), sent: 0, speed: 0, state: twin ? 'known' : 'waiting', problem: null, twin: twin?.id ?? null })
  }
  pump()
}

/** Takes it from the list; what has come of it is forgotten by the service too. */
export function drop(upload: Upload): void {
  void senders.get(upload.key)?.abort(upload.state !== 'known')?.catch(() => undefined)
  remove(upload)
}

export function pause(upload: Upload): void {
  void senders.get(upload.key)?.abort()
  upload.state = 'paused'
  pump()
}

/** Goes on, or begins again after a failure. */
export function again(upload: Upload): void {
  Object.assign(upload, { state: 'waiting', problem: null })
  pump()
}

function remove(upload: Upload): void {
  senders.delete(upload.key)
  const at = uploads.findIndex((other) => other.key === upload.key)
  if (at >= 0) uploads.splice(at, 1)
  pump()
}

function pump(): void {
  for (const upload of uploads) {
    if (uploads.filter((other) => other.state === 'sending' || other.state === 'cut').length >= AT_ONCE) return
    if (upload.state === 'waiting') void send(upload)
  }
}

function reason(error: Error | DetailedError): Problem {
  const answer = 'originalResponse' in error ? error.originalResponse : null
  if (!answer) return problem('unreachable')
  try {
    return JSON.parse(answer.getBody()) as Problem
  } catch {
    return problem('upload_broken')
  }
}

async function send(upload: Upload): Promise<void> {
  upload.state = 'sending'
  let before = performance.now()
  const failed = (why: Problem) => {
    if (!uploads.includes(upload)) return
    Object.assign(upload, { state: 'failed', problem: why })
    pump()
  }
  const sender = new Tus(upload.file, {
    endpoint: address('/api/uploads'), chunkSize: PIECE, retryDelays: WAITS_MS, removeFingerprintOnSuccess: true, metadata: { filename: upload.file.name },
    onProgress(sent) {
      const now = performance.now()
      const speed = (sent - upload.sent) / Math.max(0.001, (now - before) / 1000)
      if (speed >= 0) upload.speed = upload.speed ? 0.8 * upload.speed + 0.2 * speed : speed
      upload.sent = sent
      before = now
      if (upload.state === 'cut') upload.state = 'sending'
    },
    onShouldRetry(error) {
      const status = error.originalResponse?.getStatus() ?? 0
      const passing = status === 0 || status >= 500 || status === 409 || status === 423 || status === 429
      if (passing && status !== 507 && upload.state === 'sending') upload.state = 'cut'
      return passing && status !== 507
    },
    onError: (error) => failed(reason(error)),
    onSuccess: () => void created(),
  })
  async function created(): Promise<void> {
    const id = sender.url!.split('/').at(-1)!
    const answer = await ask<Job>('POST', '/api/jobs', { upload: id, ...upload.options })
    if (answer.ok) remove(upload)
    else failed(answer.problem)
  }
  senders.set(upload.key, sender)
  const [earlier] = await sender.findPreviousUploads()
  if (earlier) {
    sender.resumeFromPreviousUpload(earlier)
    forget(earlier.urlStorageKey)
  }
  if (upload.state === 'sending') sender.start() // nobody paused it meanwhile
}

function forget(key: string): void {
  const at = unfinished.findIndex((one) => one.key === key)
  if (at >= 0) unfinished.splice(at, 1)
}

const storage = defaultOptions.urlStorage!

/** Looks up what an earlier visit left, and how far the service got with each. */
export async function recall(): Promise<void> {
  for (const one of await storage.findAllUploads() as (PreviousUpload & { uploadUrl: string | null })[]) {
    const url = one.uploadUrl
    const answer = url ? await fetch(url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } }).catch(() => null) : null
    if (answer?.ok) {
      unfinished.push({ key: one.urlStorageKey, url: url!, name: one.metadata.filename ?? '', size: one.size ?? 0, sent: Number(answer.headers.get('Upload-Offset')) })
    } else if (answer) await storage.removeUpload(one.urlStorageKey) // made into a job, or expired
  }
}

/** Nobody wants the rest of it. */
export async function discard(one: Unfinished): Promise<void> {
  forget(one.key)
  await storage.removeUpload(one.key)
  await fetch(one.url, { method: 'DELETE', headers: { 'Tus-Resumable': '1.0.0' } }).catch(() => null)
}
