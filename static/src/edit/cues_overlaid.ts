// The subtitles that the service made, with the edits on top that it did not have then. A subtitle in which nothing changed
// stays the same object, so that only the others are drawn again. Pure.
import { lineId } from '../transcript_text.ts'
import type { CueList, CueStyle, Segment } from '../types.ts'
import { clean } from './apply.ts'
import { broken, carried, problemsOf, speedOf } from './cue_rules.ts'
import type { Cue, CuePart } from './cue.ts'
import { characters } from './cutting.ts'
import { joint } from './words.ts'

/** What the service answered, and the lines as they were then. */
export interface Fetched {
  style: CueStyle
  cues: Cue[]
  /** Each line in them: its version, and its text if that is known. */
  lines: Map<string, { version: number; text: string | undefined }>
}

/** `said`: the lines that this tab has; `before`: the subtitles that are shown, which are used again if nothing changed. */
export function toFetched({ style, cues }: CueList, said: readonly Segment[], before: readonly Cue[] = []): Fetched {
  const known = new Map(said.map((line) => [lineId(line), line]))
  const lines: Fetched['lines'] = new Map()
  const found = cues.map(({ parts, ...cue }): Cue => {
    for (const { line, version } of parts) {
      const now = known.get(line)
      lines.set(line, { version, text: now && (now.version ?? 0) === version ? now.text.trim() : undefined })
    }
    const own = parts.map(({ line, begin, end }) => ({ line, begin, end }))
    return {
      ...cue,
      key: keyOf(own, cue.start),
      lines: own.map(({ line }) => line),
      parts: own,
      text: cue.rows.join(' '),
    }
  })
  return { style, cues: reused(found, before), lines }
}

function keyOf([first]: readonly CuePart[], start: number): string {
  if (!first) return `gap ${start}`
  return first.begin ? `${first.line}:${first.begin}` : first.line
}

/** `before`: what this gave the last time. */
export function overlaid({ style, cues, lines }: Fetched, now: readonly Segment[], before: readonly Cue[]): Cue[] {
  const there = new Map(now.map((line) => [lineId(line), line]))
  const changed = new Set<string>()
  for (const [id, { version }] of lines) {
    const line = there.get(id)
    if (!line || (line.version ?? 0) !== version) changed.add(id)
  }
  const fresh = now.filter((line) => !lines.has(lineId(line)) && line.text.trim() && (line.version ?? 0) > 0)
  if (!changed.size && !fresh.length) return reused(cues, before)
  const mapped = new Map([...changed].map((id) => [id, movedBegins(id, cues, lines.get(id)!.text, there.get(id))]))
  const kept = cues.flatMap((cue) => {
    if (!cue.parts.some(({ line }) => changed.has(line))) return [cue]
    const parts = cue.parts.flatMap((part) => {
      if (!changed.has(part.line)) return [part]
      const line = there.get(part.line)
      return line && !line.held ? (mapped.get(part.line)!.get(part.begin) ?? []) : []
    })
    const made = parts.length ? withParts(cue, parts, (id) => there.get(id)?.text.trim() ?? '', style) : null
    return made ? [made] : []
  })
  const own = [...changed].flatMap((id) => {
    const line = there.get(id)
    return line?.held ? [cueOfLine(line, style)] : []
  })
  const all = [...kept, ...own, ...fresh.map((line) => cueOfLine(line, style))]
  all.sort((one, other) => one.start - other.start)
  return reused(
    all.map((cue, at) => withOverlap(cue, all[at + 1], style)),
    before,
  )
}

/** The parts of a changed line by where they began: where they are now. None: nothing of it is left. */
function movedBegins(
  id: string,
  cues: readonly Cue[],
  text: string | undefined,
  line: Segment | undefined,
): Map<number, CuePart[]> {
  const begins = cues.flatMap(({ parts }) => parts.filter((part) => part.line === id))
  const now = line?.text.trim() ?? ''
  if (text === undefined) return new Map(begins.map((part) => [part.begin, [part]]))
  const place = carried(text, now)
  const total = characters(now)
  return new Map(
    begins.map((part, nth) => {
      const begin = nth ? place(part.begin) : 0
      const following = begins[nth + 1]
      const end = following ? place(following.begin) : total
      return [part.begin, end > begin ? [{ line: id, begin, end }] : []]
    }),
  )
}

const slice = (text: string, { begin, end }: CuePart): string => [...text].slice(begin, end).join('').trim()

/** A subtitle with other parts. A name of who speaks stays before it. Null: it has no text any more. */
function withParts(cue: Cue, parts: CuePart[], textOf: (id: string) => string, style: CueStyle): Cue | null {
  const said = parts.map((part) => slice(textOf(part.line), part)).filter(Boolean)
  if (!said.length) return null
  const whole = said.reduce((text, more) => text + joint(text, more) + more)
  const name = cue.speaker && cue.text.startsWith(`${cue.speaker}: `) ? `${cue.speaker}: ` : ''
  const [first] = parts as [CuePart]
  const key = first.line === cue.parts[0]?.line ? cue.key : keyOf(parts, cue.start)
  return { ...withText(cue, name + whole, style), key, parts, lines: parts.map(({ line }) => line) }
}

function withText(cue: Cue, text: string, style: CueStyle): Cue {
  const rows = text === cue.text ? cue.rows : broken(text, style)
  const { start, end } = cue
  const overlaps = cue.problems.filter((problem) => problem === 'overlaps')
  const problems = [...problemsOf(rows, start, end, null, style), ...overlaps]
  return { ...cue, rows, text, problems, speed: speedOf(rows, start, end) }
}

/** A line that is a subtitle of its own: people timed it, or the service has not cut it yet. */
function cueOfLine(line: Segment, style: CueStyle): Cue {
  const [id, text, { start, end }] = [lineId(line), line.text.trim(), line]
  const parts = [{ line: id, begin: 0, end: characters(text) }]
  const blank = { key: id, lines: [id], parts, start, end, rows: [], text: '', speaker: null, speed: 0, problems: [] }
  return withText({ ...blank, held: line.held ?? false, gap: false }, text, style)
}

function withOverlap(cue: Cue, after: Cue | undefined, style: CueStyle): Cue {
  if (cue.gap) return cue
  const overlaps = problemsOf(cue.rows, cue.start, cue.end, after?.start ?? null, style).includes('overlaps')
  if (overlaps === cue.problems.includes('overlaps')) return cue
  const others = cue.problems.filter((problem) => problem !== 'overlaps')
  return { ...cue, problems: overlaps ? [...others, 'overlaps'] : others }
}

const isSame = (one: Cue, other: Cue): boolean => one === other || JSON.stringify(one) === JSON.stringify(other)

/** The same objects again where nothing changed. */
function reused(cues: readonly Cue[], before: readonly Cue[]): Cue[] {
  const known = new Map(before.map((cue) => [cue.key, cue]))
  return cues.map((cue) => {
    const old = known.get(cue.key)
    return old && isSame(cue, old) ? old : cue
  })
}

/** A subtitle while somebody types into one of its lines. `all`: those that have something of the line, in order. */
export function cueOfTyped(
  cue: Cue,
  all: readonly Cue[],
  id: string,
  before: string,
  now: string,
  style: CueStyle,
): Cue {
  const text = clean(now)
  const line = { text } as Segment
  const places = movedBegins(id, all, before, line)
  const parts = cue.parts.flatMap((part) => (part.line === id ? (places.get(part.begin) ?? []) : [part]))
  if (cue.parts.length === 1)
    return withParts(cue, parts, () => text, style) ?? { ...cue, rows: [], text: '', problems: [] }
  // Of its other lines the text is known from what it shows: only what is typed changes.
  const part = cue.parts.find((one) => one.line === id)!
  const [old, fresh] = [
    slice(before, part),
    parts
      .filter((one) => one.line === id)
      .map((one) => slice(text, one))
      .join(' '),
  ]
  const at = cue.text.indexOf(old)
  return at < 0 ? cue : withText(cue, cue.text.slice(0, at) + fresh + cue.text.slice(at + old.length), style)
}
