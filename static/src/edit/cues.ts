// The subtitles of a transcript as its SRT file has them: what the views of subtitles share.
import type { ComputedRef, Ref } from 'vue'

/** Why a subtitle reads badly. The names are those of the API. */
export type CueProblem = 'too_fast' | 'too_long' | 'too_many_rows' | 'too_short' | 'overlaps'

/** A stretch of a line, in characters (code points) of its text. */
export interface CuePart {
  line: string // its ID
  from: number
  to: number
}

export interface Cue {
  /** The same as long as it is the same subtitle. Of one that is a whole line it is the ID of that line. */
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

/** The subtitles of one transcript, kept up to date while somebody watches them. */
export interface Cues {
  /** In order of their starts, with the changes on top that the service does not have yet. */
  cues: ComputedRef<Cue[]>
  /** Seconds between two subtitles. */
  gap: ComputedRef<number>
  /** The key of the subtitle that a person works on, or ''. */
  chosen: Ref<string>
  /** Whether they have come. */
  loaded: Ref<boolean>
  /** Fetch them, and again after each edit, until the function that this gives is called. */
  watch(): () => void
  /**
   * Give a subtitle other times, in seconds: one edit, which can be undone. It becomes a line of its own first. Its key then.
   * Null: it cannot be done.
   */
  setTimes(cue: Cue, start: number, end: number): string | null
}
