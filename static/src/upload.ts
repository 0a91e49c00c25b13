// Uploads: two at a time, each with its bytes told; the job appears through the live link like any other.
import { reactive } from 'vue'
import { problem } from './api.ts'
import type { Problem } from './types.ts'

export interface Upload { key: number; file: File; sent: number; state: 'waiting' | 'sending' | 'failed'; problem: Problem | null; request: XMLHttpRequest | null }

const AT_ONCE = 2
let last = 0

export const uploads = reactive<Upload[]>([])

export function add(files: Iterable<File>): void {
  for (const file of files) uploads.push({ key: ++last, file, sent: 0, state: 'waiting', problem: null, request: null })
  pump()
}

export function drop(upload: Upload): void {
  upload.request?.abort()
  const at = uploads.findIndex((other) => other.key === upload.key)
  if (at >= 0) uploads.splice(at, 1)
  pump()
}

export function again(upload: Upload): void {
  upload.state = 'waiting'
  upload.problem = null
  upload.sent = 0
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
  const failed = (why: Problem) => {
    upload.state = 'failed'
    upload.problem = why
    pump()
  }
  upload.state = 'sending'
  upload.request = request
  request.upload.onprogress = (event) => { upload.sent = event.loaded }
  request.onerror = () => failed(problem('unreachable'))
  request.onload = () => {
    if (request.status === 202) return drop(upload)
    try {
      failed(JSON.parse(request.responseText) as Problem)
    } catch {
      failed(problem('unreachable', `${request.status}`))
    }
  }
  request.open('POST', `/api/jobs?filename=${encodeURIComponent(upload.file.name)}`)
  request.setRequestHeader('Content-Type', 'application/octet-stream')
  request.send(upload.file)
}
