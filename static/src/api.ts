// Requests: an answer is a value or a problem, never an exception. Paths begin with `/` and are below the root of the service.
import { ROOT } from './root.ts'
import type { Problem } from './types.ts'

export type Answer<T> = { ok: true; value: T } | { ok: false; problem: Problem }

export const problem = (code: string, message = ''): Problem => ({ code, message, hint: '', params: {} })

/** The address of something the browser fetches itself: a link, a recording. */
export const address = (path: string): string => ROOT + path

export async function ask<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
  const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }
  try {
    const answer = await fetch(address(path), { method, ...sent })
    if (answer.status === 401) location.assign(address('/login')) // a form without scripts, which leads back
    const text = await answer.text()
    const value = text === '' ? null : JSON.parse(text)
    if (answer.status === 401) location.assign(address('/login')) // a session ended while the page was open
    return answer.ok ? { ok: true, value: value as T } : { ok: false, problem: value as Problem }
  } catch {
    return { ok: false, problem: problem('unreachable') }
  }
}
