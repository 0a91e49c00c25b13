// What the service knows of subtitles, for edits that it does not have yet: widths, reading speed, problems, and where a
// text is cut. The service has the same problems (export/captions/problems.py); what it cuts is better, and comes soon.
import type { CueStyle } from '../types.ts'
import type { CueProblem } from './cue.ts'

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u
const NARROW = /[\p{Mn}\p{Me}\p{Cf}]/u
const ASCII = /^[\x00-\x7f]*$/ // eslint-disable-line no-control-regex
const NEVER_FIRST = /^[\s"'”’»)\]}）】」』》〉.?!。？！…,;:，、；：—–%％々ー・]/u

const widthOf = (character: string): number => (NARROW.test(character) ? 0 : WIDE.test(character) ? 2 : 1)

/** The width of a text: wide characters take two columns, combining marks none. */
export const columns = (text: string): number =>
  ASCII.test(text) ? text.length : [...text].reduce((sum, character) => sum + widthOf(character), 0)

/** How many columns the wide characters of a text take. */
export const wideColumns = (text: string): number =>
  ASCII.test(text) ? 0 : [...text].reduce((sum, character) => sum + (widthOf(character) === 2 ? 2 : 0), 0)

const limitOf = (text: string, style: CueStyle): number =>
  wideColumns(text) * 2 > columns(text) ? style.cjk_line_columns : style.line_columns

const ms = (seconds: number): number => Math.round(seconds * 1000)

/** What is wrong with a subtitle. `after`: when the next one begins. */
export function problemsOf(
  rows: readonly string[],
  start: number,
  end: number,
  after: number | null,
  style: CueStyle,
): CueProblem[] {
  const text = rows.join(' ')
  const [width, wide, length] = [columns(text), wideColumns(text), ms(end) - ms(start)]
  const reading = ms((width - wide) / style.chars_per_s + wide / 2 / style.cjk_chars_per_s)
  const limit = limitOf(text, style)
  const found: (CueProblem | false)[] = [
    reading > length && 'too_fast',
    rows.some((row) => columns(row) > limit) && 'too_long',
    rows.length > style.lines && 'too_many_rows',
    length < ms(style.min_s) && 'too_short',
    after !== null && ms(after) < ms(end) && 'overlaps',
  ]
  return found.filter((one) => one !== false)
}

/** Characters per second. A wide character counts as one. */
export function speedOf(rows: readonly string[], start: number, end: number): number {
  const text = rows.join(' ')
  return (columns(text) - wideColumns(text) / 2) / Math.max(0.001, end - start)
}

/** A text as rows: as few as the style allows, of similar width. */
export function broken(text: string, style: CueStyle): string[] {
  const limit = limitOf(text, style)
  if (columns(text) <= limit) return [text]
  const characters = [...text]
  const cuts = characters.flatMap((character, at) => {
    const isSpace = character === ' '
    const between = at > 0 && (widthOf(character) === 2 || widthOf(characters[at - 1]!) === 2)
    return isSpace || (between && !NEVER_FIRST.test(character)) ? [at] : []
  })
  const halves = (cut: number) => [
    characters.slice(0, cut).join('').trimEnd(),
    characters.slice(cut).join('').trimStart(),
  ]
  const two = cuts
    .map(halves)
    .filter((rows) => rows.every((row) => row && columns(row) <= limit))
    .sort((a, b) => unevenness(a) - unevenness(b))[0]
  if (two && style.lines > 1) return two
  const rows = ['']
  let from = 0
  for (const cut of [...cuts, characters.length]) {
    const piece = characters.slice(from, cut).join('')
    if (rows.at(-1) && columns((rows.at(-1)! + piece).trim()) > limit) rows.push('')
    rows[rows.length - 1] += piece
    from = cut
  }
  return rows.map((row) => row.trim()).filter(Boolean)
}
const unevenness = ([upper, lower]: string[]): number => Math.abs(columns(upper!) - columns(lower!))

/** Where the places of a text are after it became another one. What stands behind the change moves along. */
export function carried(before: string, now: string): (at: number) => number {
  const [old, fresh] = [[...before], [...now]]
  const shorter = Math.min(old.length, fresh.length)
  let head = 0
  while (head < shorter && old[head] === fresh[head]) head += 1
  let tail = 0
  while (tail < shorter - head && old.at(-1 - tail) === fresh.at(-1 - tail)) tail += 1
  return (at) => {
    if (at <= head) return at
    return at >= old.length - tail ? at + fresh.length - old.length : fresh.length - tail
  }
}

const CLOCK = /^(?:(?:(\d{1,3}):)?(\d{1,3}):)?(\d{1,6}(?:[.,]\d{0,6})?)$/

/** The seconds of a time that somebody typed: `83.4`, `1:23.4`, `1:02:03,45`. Null: it is none. */
export function secondsOf(typed: string): number | null {
  const found = CLOCK.exec(typed.trim())
  if (!found) return null
  const [h, m, s] = [Number(found[1] ?? 0), Number(found[2] ?? 0), Number(found[3]!.replace(',', '.'))]
  if ((found[2] && s >= 60) || (found[1] && m >= 60)) return null
  return Math.round((h * 3600 + m * 60 + s) * 1000) / 1000
}

/** A time to the millisecond, as a person types one: `1:23.400`. */
export function exactClock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds * 1000))
  const pad = (part: number, digits = 2) => String(part).padStart(digits, '0')
  const [h, m, s] = [Math.floor(whole / 3_600_000), Math.floor(whole / 60_000) % 60, Math.floor(whole / 1000) % 60]
  return `${h ? `${h}:${pad(m)}` : m}:${pad(s)}.${pad(whole % 1000, 3)}`
}
