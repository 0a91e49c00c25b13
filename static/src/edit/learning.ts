// What the vocabulary learns from the corrections of this browser.
import { watch } from 'vue'
import type { Segment } from '../types.ts'

/** Offer the term of a correction that is made for the second time. `lines` are what the service says. */
export function learnFrom(lines: () => readonly Segment[] | undefined, language: () => string | null): void {
  watch(lines, (now, before) => {
    if (!now || !before || now.length !== before.length) return
    const changed = now.flatMap((line, at) => (line === before[at] ? [] : [at]))
    const [at] = changed
    if (changed.length !== 1 || at === undefined) return // an act on many lines is no correction of one name
    const [old, line] = [before[at]!, now[at]!]
    if (old.chunk !== line.chunk || old.index !== line.index) return
    void import('./terms.ts').then(
      ({ learn }) => learn(old, line, language()),
      () => undefined, // no network: another correction will do
    )
  })
}
