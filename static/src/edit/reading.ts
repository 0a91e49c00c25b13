// What the parts of a transcript's page share: text, player, panels and keys reach each other through this.
import { inject, provide, type ComputedRef, type InjectionKey, type Ref } from 'vue'
import type { Action } from '../keys.ts'
import type { Player } from '../player.ts'
import type { Job, Segment } from '../types.ts'

export interface Reading {
  id: string // of the job
  job: ComputedRef<Job | undefined>
  lines: ComputedRef<Segment[]>
  player: Player
  panel: Ref<string> // which tab beside the text is shown, by its name
  sheet: Ref<boolean> // on a narrow window the tabs lie over the text while this is true
  /** Play from a time. */
  play(from: number): void
  /** Show a line, given by its ID, in the middle of the window. */
  reveal(id: string): void
  /** Show a tab beside the text. */
  openPanel(name: string): void
  /** What a key does. The last one that was given counts. */
  onKey(action: Action, act: () => void): void
}

const KEY: InjectionKey<Reading> = Symbol('reading')

export const provideReading = (reading: Reading): void => provide(KEY, reading)

/** The page that a component is part of. */
export const useReading = (): Reading => inject(KEY)!
