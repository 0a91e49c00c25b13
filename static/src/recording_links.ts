// Recordings that the service gets itself, from a link.
import { ask, type Answer } from './api.ts'
import { wishes } from './preferences.ts'
import type { Job } from './types.ts'

export const isLink = (text: string): boolean => /^https?:\/\/\S+$/.test(text)

/** Has it fetched and transcribed. */
export const addLink = (url: string): Promise<Answer<Job>> => ask<Job>('POST', '/api/jobs', { url, ...wishes() })
