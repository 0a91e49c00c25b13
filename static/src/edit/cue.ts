// One subtitle, as the views show it and all that is worked out about it.
import type { CueList } from '../types.ts'

/** Why a subtitle reads badly. The names are those of the API. */
export type CueProblem = CueList['cues'][number]['problems'][number]

/** A stretch of a line, in characters (code points) of its text without spaces at the ends. */
export interface CuePart {
  line: string // its ID
  begin: number
  end: number
}

export interface Cue {
  /** The same as long as it is the same subtitle. Of one that begins with a line it is the ID of that line. */
  key: string
  /** The lines whose words it has, by ID, in order. A gap has none. */
  lines: string[]
  parts: CuePart[]
  start: number // seconds
  end: number
  rows: string[] // its text as it is broken on the screen
  text: string // its rows, with spaces between
  speaker: string | null
  held: boolean // a person set its times: it is a line of its own, with exactly these times
  gap: boolean // it says that a part was not transcribed: its times cannot be set
  speed: number // characters per second; a wide character counts as one
  problems: CueProblem[]
}
