// Requests: an answer is a value or a problem, never an exception.
import type { Problem } from './types.ts'

export type Answer<T> = { ok: true; value: T } | { ok: false; problem: Problem }

export const problem = (code: string, message = ''): Problem => ({ code, message, hint: '', params: {} })

export async function ask<T>(method: string, path: string): Promise<Answer<T>> {
  try {
    const answer = await fetch(path, { method })
    const body = answer.status === 204 ? null : await answer.json()
    return answer.ok ? { ok: true, value: body as T } : { ok: false, problem: body as Problem }
  } catch {
    return { ok: false, problem: problem('unreachable') }
  }
}
