// The job that is to be transcribed again. The form stands once in the frame, whoever asks for it.
import { shallowRef } from 'vue'
import { awaitsFetch, isHopeless, type Part } from './jobs.ts'
import type { MessageKey } from './i18n/translation.ts'
import type { Job } from './types.ts'

/** The job, and the track or the part of the recording that the form is about. Null: the form is closed. */
export const again = shallowRef<{ job: Job; track?: number; part?: Part } | null>(null)

export function transcribeAgain(job: Job, track?: number): void {
  again.value = track === undefined ? { job } : { job, track }
}

/** Ask for another text of a part, which is then proposed beside the present one. */
export function transcribePart(job: Job, part: Part): void {
  again.value = { job, part }
}

const ENDED = ['completed', 'failed', 'cancelled']

/** Whether a job has ended and another try can give a text. */
export const mayRepeat = (job: Job): boolean => ENDED.includes(job.status) && !isHopeless(job)

/** Why the recording cannot be transcribed again. Null: it can. */
export const whyNotAgain = (job: Job): MessageKey | null =>
  job.media_removed ? 'media_gone' : awaitsFetch(job) || !job.sha256 ? 'again_no_media' : null
