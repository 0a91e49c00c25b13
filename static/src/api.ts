// Requests: an answer is a value or a problem, never an exception. Paths begin with `/` and are below the root of the service.
import { ROOT } from './root.ts'
import type { Problem } from './types.ts'

export type Answer<T> = { ok: true; value: T } | { ok: false; problem: Problem }

export const problem = (code: string, message = ''): Problem => ({ code, message, hint: '', params: {} })

/** The address of something the browser fetches itself: a link, a recording. */
export const address = (path: string): string => ROOT + path

function judge<T>(status: number, text: string): Answer<T> {
  if (status === 401) location.assign(address('/login')) // a session ended while the page was open; a form without scripts, which leads back
  const value = JSON.parse(text || (status ? 'null' : '')) // without a status nothing answered
  return status < 300 ? { ok: true, value: value as T } : { ok: false, problem: value as Problem }
}

export async function ask<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
  const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }
  try {
    const answer = await fetch(address(path), { method, ...sent })
    return judge(answer.status, await answer.text())
  } catch {
    return { ok: false, problem: problem('unreachable') }
  }
}

/** Sends a file as it is; `told` hears how many of its bytes have gone, which a fetch does not tell. */
export async function send<T>(path: string, file: File, told: (sent: number) => void): Promise<Answer<T>> {
  const request = new XMLHttpRequest()
  request.open('POST', address(path))
  request.setRequestHeader('Content-Type', 'application/octet-stream')
  request.upload.onprogress = ({ loaded }) => told(loaded)
  await new Promise((done) => { request.onloadend = done; request.send(file) })
  try {
    return judge(request.status, request.responseText)
  } catch {
    return { ok: false, problem: problem('unreachable') }
  }
}

/** Asks for a file with a body and hands it to the browser as a download; why there is none, if so. */
export async function fetchFile(path: string, body: unknown, name: string): Promise<Problem | null> {
  try {
    const answer = await fetch(address(path), { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } })
    if (!answer.ok) return await answer.json() as Problem
    const url = URL.createObjectURL(await answer.blob())
    Object.assign(document.createElement('a'), { href: url, download: name }).click()
    setTimeout(() => URL.revokeObjectURL(url), 60_000)
    return null
  } catch {
    return problem('unreachable')
  }
}
