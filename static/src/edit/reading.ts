// What the parts of a transcript's page share: text, player, panels and keys reach each other through this.
import { inject, provide, type ComputedRef, type InjectionKey, type Ref, type ShallowRef } from 'vue'
import type { Action } from '../keys.ts'
import type { Player } from '../player.ts'
import type { Job, Segment } from '../types.ts'
import type { Cues } from './cues.ts'
import type { Stretch } from './highlights.ts'
import type { Question } from './question.ts'
import type { Place, Session } from './session.ts'
import type { Speaking } from './speaking.ts'

export interface Reading {
  id: string // of the job
  job: ComputedRef<Job | undefined>
  lines: ComputedRef<Segment[]>
  session: Session
  speaking: Speaking
  player: Player
  cues: ShallowRef<Cues | null> // while the text is shown as subtitles
  panel: Ref<string> // which tab beside the text is shown, by its name
  sheet: Ref<boolean> // on a narrow window the tabs lie over the text while this is true
  /** Play from a time, in seconds. */
  play(from: number): void
  /** Show a line, given by its ID, in the middle of the window. */
  reveal(id: string): void
  /** Give a line the focus. */
  focus(id: string): void
  /** Put the caret into a line. */
  edit(place: Place): void
  /** Where a stretch of a line begins in the document, and ends if it is in one piece. Null: it is not shown. */
  rangeOf(stretch: Stretch): Range | null
  /** The line that a key is about: the one that is edited, else the one with the focus, else the one that plays. */
  lineInHand(): Segment | undefined
  /** The lines that a key is about, by ID: those that are selected, else the one in hand. */
  linesInHand(): string[]
  /** Show a tab beside the text. */
  openPanel(name: string): void
  /** What an action does. The last one that was given counts. `anyway`: also if the recording cannot be played. */
  onKey(action: Action, act: () => void, anyway?: boolean): void
  /** Do what an action does. False: it does nothing now. */
  act(action: Action): boolean
  /** Have a screen reader say something. */
  say(text: string, urgent?: boolean): void
  /** Tell the person what happened in the line that is edited. */
  told(what: 'deleted' | 'too_long' | 'typed'): void
  /** Ask a person. Returns the value of the answer; null: none was given. */
  ask(question: Question): Promise<string | null>
  /** Ask whether several lines are pasted as lines. Null: not at all. */
  askLines(count: number): Promise<'lines' | 'one' | null>
  copyLink(seconds: number): Promise<void>
  deleteLine(id: string): void
  showOriginal(id: string): Promise<void>
}

const KEY: InjectionKey<Reading> = Symbol('reading')

export const provideReading = (reading: Reading): void => provide(KEY, reading)

/** The page that a component is part of. */
export const useReading = (): Reading => inject(KEY)!
