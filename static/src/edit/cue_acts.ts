// What a person does to a subtitle with keys and buttons: set its times, move them a little, go to the next one with a problem.
import { onUnmounted, type ComputedRef } from 'vue'
import { t } from '../i18n/index.ts'
import type { Action } from '../keys.ts'
import { notify } from '../notices.ts'
import { columns, wideColumns } from './cue_rules.ts'
import type { Cue, CueProblem } from './cue.ts'
import type { Cues } from './cues.ts'
import type { Reading } from './reading.ts'

export type Edge = 'start' | 'end'

const NUDGE_S = 0.1 // by a key of the page; the fields have finer steps

export interface CuePlaces {
  cues: Cues
  /** The subtitle that a key is about. */
  inHand: ComputedRef<Cue | undefined>
  /** Show a subtitle and give it the focus. `edge`: the field with that time of it. */
  focus(key: string, edge?: Edge): void
  /** Which subtitle has the focus, and which of its fields. */
  focused(): { key: string; edge?: Edge | undefined } | null
}

export type CueActs = ReturnType<typeof useCueActs>

/** What is wrong with a subtitle, in words. */
export function problemText(problem: CueProblem, { speed, rows }: Cue): string {
  return t(`cue_${problem}`, { n: problem === 'too_fast' ? Math.round(speed) : rows.length })
}

/** How long a subtitle is shown, how fast it is to read, and how long its rows are. A wide character counts as one. */
export const factsOf = ({ start, end, speed, rows }: Cue): string =>
  t('cue_meta', {
    s: (end - start).toFixed(1),
    n: Math.round(speed),
    rows: rows.map((row) => Math.round(columns(row) - wideColumns(row) / 2)).join(' + '),
  })

export function useCueActs(reading: Reading, { cues, inHand, focus, focused }: CuePlaces) {
  const { player, onKey, say } = reading

  /** Give a subtitle other times. False: it keeps its times. The focus stays in it. */
  function setTimes(cue: Cue, start: number, end: number): boolean {
    const place = focused()
    const key = cues.setTimes(cue, start, end)
    if (key === null) {
      const isUndecided = cue.lines.some((line) => reading.session.conflicts.value[line])
      notify(t(start >= end ? 'cue_no_time' : isUndecided ? 'times_refused' : 'cue_refused'))
      return false
    }
    cues.chosen.value = key
    if (place?.key === cue.key && key !== cue.key) focus(key, place.edge)
    return true
  }
  function setEdge(cue: Cue, edge: Edge, seconds: number): boolean {
    return edge === 'start' ? setTimes(cue, seconds, cue.end) : setTimes(cue, cue.start, seconds)
  }
  /** A time of the subtitle becomes the position of the player. */
  function setHere(edge: Edge, cue = inHand.value): void {
    if (cue && !cue.gap) setEdge(cue, edge, player.time.value)
  }
  function nudge(edge: Edge, by: number, cue = inHand.value): void {
    const now = cues.cues.value.find(({ key }) => key === cue?.key) // keys may come faster than the page is drawn
    if (now && !now.gap) setEdge(now, edge, Math.max(0, now[edge] + by))
  }
  /** Go to the next subtitle with a problem, or the one before. */
  function walk(step: 1 | -1): void {
    const all = cues.cues.value
    const at = all.findIndex(({ key }) => key === inHand.value?.key)
    const order = step > 0 ? [...all.slice(at + 1), ...all.slice(0, at + 1)] : all.slice(0, Math.max(0, at)).reverse()
    const found = [...order, ...(step > 0 ? [] : all.slice(Math.max(0, at)).reverse())].find(
      (cue) => cue.problems.length,
    )
    if (!found) return notify(t('cue_no_problems'))
    focus(found.key)
    say(found.problems.map((problem) => problemText(problem, found)).join('. '))
  }

  const nothing = (): void => {}
  const keys: [Action, () => void, boolean][] = [
    ['set_start', () => setHere('start'), false],
    ['set_end', () => setHere('end'), false],
    ['start_earlier', () => nudge('start', -NUDGE_S), true],
    ['start_later', () => nudge('start', NUDGE_S), true],
    ['end_earlier', () => nudge('end', -NUDGE_S), true],
    ['end_later', () => nudge('end', NUDGE_S), true],
    ['problem_next', () => walk(1), true],
    ['problem_before', () => walk(-1), true],
  ]
  for (const [action, act, anyway] of keys) onKey(action, act, anyway)
  onUnmounted(() => keys.forEach(([action]) => onKey(action, nothing)))

  return { setTimes, setEdge, setHere, nudge, walk }
}
