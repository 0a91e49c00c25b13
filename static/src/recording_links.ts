// Links: recordings that the service fetches itself.
import { request, type Answer } from './api.ts'
import { jobOptions } from './preferences.ts'
import type { Job } from './types.ts'

export const isLink = (text: string): boolean => /^https?:\/\/\S+$/.test(text)

/** Have the service fetch and transcribe a recording. */
export const submitLink = (url: string): Promise<Answer<Job>> =>
  request<Job>('POST', '/api/jobs', { url, ...jobOptions() })
