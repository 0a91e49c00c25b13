// Terms of corrections, which the vocabulary may learn: they are offered, and a person decides.
import { request } from '../api.ts'
import { explain } from '../i18n/problems.ts'
import { t } from '../i18n/index.ts'
import { notify } from '../notices.ts'
import type { Segment } from '../types.ts'
import { correctionOf, count, MOST_CHARACTERS, SECOND, withoutMarks, type Counts } from './corrections.ts'

const STORED = 'corrections'

/** Offer to remember a term. `uses`: how many corrections were made. */
export function offerTerm(term: string, heard: string, language: string | null, uses: number): void {
  const name = withoutMarks(term)
  if (!name || term.length > MOST_CHARACTERS || heard.length > MOST_CHARACTERS) return
  notify(t('remember', { term }), t('remember_yes'), () => void remember(term, heard, language, uses))
}

async function remember(term: string, heard: string, language: string | null, uses: number): Promise<void> {
  const known = heard && heard !== term ? [heard] : []
  const answer = await request('POST', '/api/vocabulary', { term, heard: known, language, uses })
  notify(answer.ok ? t('remembered', { term }) : explain(answer.problem).what)
}

function stored(): Counts {
  try {
    return JSON.parse(localStorage.getItem(STORED) ?? '{}') as Counts
  } catch {
    return {}
  }
}

/** Offer the term of a correction that is made for the second time. `language` is that of the job. */
export function learn(old: Segment, line: Segment, language: string | null): void {
  const correction = correctionOf(old.text.trim(), line.text.trim())
  if (!correction) return
  const counts = stored()
  const isTime = count(counts, correction)
  localStorage.setItem(STORED, JSON.stringify(counts))
  if (isTime) offerTerm(correction.term, correction.heard, line.language ?? language, SECOND)
}
