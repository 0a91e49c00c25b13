// The edges of lines and subtitles in time: how far one may be moved, and what it holds on to. Pure. Times are in seconds.

/** A stretch of a recording that has a text: a line, or a subtitle. */
export interface Stretch {
  id: string
  start: number
  end: number
}
export type Edge = 'start' | 'end'
/** What is moved of a stretch: an edge, or both of them together. */
export type Handle = Edge | 'whole'
export const EDGES: readonly Edge[] = ['start', 'end']

/** The shortest that a stretch can be made. No subtitle is read in less, and the edges can still be told apart. */
export const SHORTEST_S = 0.1
/** How near an edge comes to what it holds on to, at any zoom. */
export const SNAP_PX = 8
const STEP_S = 0.01 // what is dragged stands at full hundredths, unless it holds on to something

const clamp = (value: number, least: number, most: number): number => Math.min(Math.max(value, least), most)
const DUST_S = 1e-9
/** Without the dust of binary fractions. */
export const toMs = (seconds: number): number => Math.round(seconds * 1000) / 1000

export interface Limits {
  least: number
  most: number
}

/**
 * How far an edge may be moved: to `gap` from the neighbours, and not over its other edge. An edge that is beyond that already
 * may stay where it is.
 */
export function limitsOf(
  stretch: Stretch,
  edge: Edge,
  before: Stretch | undefined,
  behind: Stretch | undefined,
  gap: number,
  length: number,
): Limits {
  const { start, end } = stretch
  if (edge === 'start') {
    const least = Math.min(start, before ? toMs(before.end + gap) : 0)
    return { least: Math.max(0, least), most: Math.max(start, toMs(end - SHORTEST_S)) }
  }
  const most = behind ? toMs(behind.start - gap) : Math.max(length, end)
  return { least: Math.min(end, toMs(start + SHORTEST_S)), most: Math.max(end, most) }
}

/** Where the start of a stretch may be that is moved as a whole: both of its edges keep to their limits. */
export function limitsOfWhole(
  stretch: Stretch,
  before: Stretch | undefined,
  behind: Stretch | undefined,
  gap: number,
  length: number,
): Limits {
  const { least } = limitsOf(stretch, 'start', before, behind, gap, length)
  const { most } = limitsOf(stretch, 'end', before, behind, gap, length)
  return { least, most: toMs(stretch.start + most - stretch.end) }
}

/** What the start of a stretch holds on to when it is moved as a whole: to what its end would hold on to, as well. */
export const targetsOfWhole = ({ start, end }: Stretch, targets: readonly number[]): number[] => [
  ...targets,
  ...targets.map((target) => target - (end - start)),
]

/** Where an edge comes to stand that somebody moves to a time: at a target that is near enough, and within the limits. */
export function placed(wanted: number, { least, most }: Limits, targets: readonly number[], nearS: number): number {
  let best = clamp(Math.round(wanted / STEP_S) * STEP_S, least, most)
  let distance = nearS
  for (const target of [...targets, least, most]) {
    if (target < least || target > most || Math.abs(target - wanted) > distance + DUST_S) continue
    distance = Math.abs(target - wanted)
    best = target
  }
  return toMs(best)
}

/** A key on an edge: 10 ms a step, 100 ms with Shift, or to the limits. Null: the key does nothing there. */
export function stepped(key: string, isShift: boolean, now: number, limits: Limits): number | null {
  const step = isShift ? 10 * STEP_S : STEP_S
  const to: Record<string, number> = {
    ArrowLeft: now - step,
    ArrowDown: now - step,
    ArrowRight: now + step,
    ArrowUp: now + step,
    Home: limits.least,
    End: limits.most,
  }
  return to[key] === undefined ? null : toMs(clamp(to[key], limits.least, limits.most))
}

/** A stretch with one edge at another time, or as a whole with its start there. */
export const withEdge = <T extends Stretch>(stretch: T, handle: Handle, time: number): T =>
  handle === 'whole'
    ? { ...stretch, start: time, end: stretch.end + (time - stretch.start) }
    : { ...stretch, [handle]: time }
/** The edge whose time says where a handle is. */
export const edgeOf = (handle: Handle): Edge => (handle === 'whole' ? 'start' : handle)

/** Those that have something between two times. `stretches` is in order of their starts. */
export function within<T extends Pick<Stretch, Edge>>(stretches: readonly T[], from: number, to: number): T[] {
  let low = 0
  let high = stretches.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (stretches[middle]!.start < to) low = middle + 1
    else high = middle
  }
  const found: T[] = []
  // Ends are nearly in order too: one that reaches over its followers is looked for among a few.
  for (let at = low - 1, past = 0; at >= 0 && past < LOOK_BACK; at -= 1) {
    if (stretches[at]!.end > from) found.push(stretches[at]!)
    else past += 1
  }
  return found.reverse()
}
const LOOK_BACK = 20
