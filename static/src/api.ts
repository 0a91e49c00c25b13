// Requests to the service. An answer is a value or a problem, never an exception. Paths begin with `/`, below the root of the service.
import { ROOT } from './root.ts'
import type { Problem } from './types.ts'

export type Answer<T> = { ok: true; value: T } | { ok: false; problem: Problem }

const JSON_TYPE = { 'Content-Type': 'application/json' }

/** A problem that the page found, not the service: it has a code but no message. */
export const pageProblem = (code: string): Problem => ({ code, message: '', hint: '', params: {} })

/** The address of something that the browser fetches by itself: a recording, a download. */
export const serviceUrl = (path: string): string => ROOT + path

const holders: (() => boolean)[] = []
/** While `held` says so, the end of a session does not lead to the login page: there is work that is not saved. */
export function holdLogin(held: () => boolean): void {
  holders.push(held)
}

function toAnswer<T>(status: number, text: string): Answer<T> {
  if (status === 401 && !holders.some((held) => held())) location.assign(serviceUrl('/login')) // the session ended; the form leads back here
  const value = JSON.parse(text || (status ? 'null' : '')) // without a status nothing answered
  return status < 300 ? { ok: true, value: value as T } : { ok: false, problem: value as Problem }
}

export async function request<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
  const content = body === undefined ? {} : { body: JSON.stringify(body), headers: JSON_TYPE }
  try {
    const response = await fetch(serviceUrl(path), { method, ...content })
    return toAnswer(response.status, await response.text())
  } catch {
    return { ok: false, problem: pageProblem('unreachable') }
  }
}

/** Send a file as it is. `onProgress` gets the number of bytes that were sent: `fetch` does not know it. */
export async function sendFile<T>(path: string, file: File, onProgress: (sent: number) => void): Promise<Answer<T>> {
  const upload = new XMLHttpRequest()
  upload.open('POST', serviceUrl(path))
  upload.setRequestHeader('Content-Type', 'application/octet-stream')
  upload.upload.onprogress = ({ loaded }) => onProgress(loaded)
  await new Promise((done) => {
    upload.onloadend = done
    upload.send(file)
  })
  try {
    return toAnswer(upload.status, upload.responseText)
  } catch {
    return { ok: false, problem: pageProblem('unreachable') }
  }
}

/** Request a file with a body and give it to the browser as a download. Returns the problem, or null. */
export async function downloadFile(path: string, body: unknown, name: string): Promise<Problem | null> {
  try {
    const response = await fetch(serviceUrl(path), { method: 'POST', body: JSON.stringify(body), headers: JSON_TYPE })
    if (!response.ok) return (await response.json()) as Problem
    const url = URL.createObjectURL(await response.blob())
    Object.assign(document.createElement('a'), { href: url, download: name }).click()
    setTimeout(() => URL.revokeObjectURL(url), 60_000)
    return null
  } catch {
    return pageProblem('unreachable')
  }
}
