// Uploads: two at a time, each with its bytes told; the job appears through the live link like any other.
import { reactive } from 'vue'
import { address, problem } from './api.ts'
import { wishes } from './preferences.ts'
import { state } from './store.ts'
import type { Problem } from './types.ts'

export interface Upload {
  key: number; file: File; options: Record<string, string>; sent: number; speed: number // bytes per second, smoothed
  state: 'waiting' | 'sending' | 'failed' | 'known'; problem: Problem | null; twin: string | null; request: XMLHttpRequest | null
}

const AT_ONCE = 2
let last = 0

export const uploads = reactive<Upload[]>([])

export function add(files: Iterable<File>): void {
  for (const file of files) {
    const twin = Object.values(state.value.jobs).find((job) => job.name === file.name && job.bytes === file.size && job.status !== 'failed')
    uploads.push({
      key: ++last, file, options: wishes(), sent: 0, speed: 0, state: twin ? 'known' : 'waiting', problem: null, twin: twin?.id ?? null, request: null,
    })
  }
  pump()
}

export function drop(upload: Upload): void {
  upload.request?.abort()
  const at = uploads.findIndex((other) => other.key === upload.key)
  if (at >= 0) uploads.splice(at, 1)
  pump()
}

export function again(upload: Upload): void {
  Object.assign(upload, { state: 'waiting', problem: null, sent: 0 })
  pump()
}

function pump(): void {
  for (const upload of uploads) {
    if (uploads.filter((other) => other.state === 'sending').length >= AT_ONCE) return
    if (upload.state === 'waiting') send(upload)
  }
}

function send(upload: Upload): void {
  const request = new XMLHttpRequest()
  let before = performance.now()
  const failed = (why: Problem) => {
    Object.assign(upload, { state: 'failed', problem: why })
    pump()
  }
  Object.assign(upload, { state: 'sending', request })
  request.upload.onprogress = (event) => {
    const now = performance.now()
    const speed = (event.loaded - upload.sent) / Math.max(0.001, (now - before) / 1000)
    upload.speed = upload.speed ? 0.8 * upload.speed + 0.2 * speed : speed
    upload.sent = event.loaded
    before = now
  }
  request.onerror = () => failed(problem('unreachable'))
  request.onload = () => {
    if (request.status === 202) return drop(upload)
    try {
      failed(JSON.parse(request.responseText) as Problem)
    } catch {
      failed(problem('unreachable', `${request.status}`))
    }
  }
  const query = new URLSearchParams({ filename: upload.file.name, ...upload.options })
  request.open('POST', address(`/api/jobs?${query}`))
  request.setRequestHeader('Content-Type', 'application/octet-stream')
  request.send(upload.file)
}
