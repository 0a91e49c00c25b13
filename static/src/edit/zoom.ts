// A part of a recording on a strip: what is in sight, and what is drawn. Pure. Times are in seconds.

/** The steps of the zoom: how many seconds the strip is wide. */
export const SPANS: readonly number[] = [10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600]
const CLOSEST_S = SPANS[0]!
const FARTHEST_S = SPANS.at(-1)!
/** Firefox lays nothing out beyond 2^30 / 60 pixels. */
const WIDEST_PX = 16_000_000
/** Canvases: what is in sight lies on two of them at most, and the third is ready for where one scrolls to. */
export const TILES = 3

/** How close and how far a recording of this length can be seen on a strip of this width. */
export function spansFor(length: number, width: number): { least: number; most: number } {
  return { least: Math.max(CLOSEST_S, (length * width) / WIDEST_PX), most: FARTHEST_S }
}

/** The zoom that somebody asks for, as near as it can be had. */
export function fitted(span: number, length: number, width: number): number {
  const { least, most } = spansFor(length, width)
  return Math.min(Math.max(span, least), Math.max(least, most))
}

/** The next step closer (1) or farther (-1). */
export function nextSpan(span: number, step: 1 | -1): number {
  const found = step > 0 ? SPANS.findLast((one) => one < span - 0.5) : SPANS.find((one) => one > span + 0.5)
  return found ?? span
}

/** How far to scroll so that a time stays where it is, `at` pixels from the left edge of the strip. */
export const scrolledTo = (time: number, at: number, width: number, span: number): number =>
  Math.max(0, (time * width) / span - at)

/** Which tiles are drawn: those in sight, and the nearest one. A tile is as wide as the strip, the first one is 0. */
export function tilesAt(left: number, width: number): number[] {
  const first = Math.floor(left / width)
  const isFar = left / width - first > 0.5
  const from = Math.max(0, isFar ? first : first - 1)
  return Array.from({ length: TILES }, (_, nth) => from + nth)
}

/** Where to begin so that a time is in sight, or null if it is: what plays turns the page before it comes to its end. */
export function turned(time: number, from: number, span: number, isPlaying: boolean): number | null {
  if (time >= from && time <= from + span * (isPlaying ? 0.9 : 1)) return null
  return Math.max(0, time - span * 0.1)
}

const TICKS: readonly number[] = [1, 2, 5, 10, 15, 30, 60, 120, 300]
const TICK_PX = 72 // room for `10:00:00`

/** Seconds between two marks of the time, at so many pixels per second. */
export const tickStep = (scale: number): number => TICKS.find((step) => step * scale >= TICK_PX) ?? TICKS.at(-1)!
