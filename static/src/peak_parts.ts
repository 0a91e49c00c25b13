// The waveform of a recording, from the service: pairs of int8, the lowest and the highest sample of equal stretches of sound.
import { serviceUrl } from './api.ts'

/** Pairs per second of the two levels. */
export const RATES = { coarse: 50, fine: 200 } as const
export type Level = keyof typeof RATES

const PART_PAIRS = 8_000 // fetched at once: 16 kB, 40 s of the fine level
const MOST_PARTS = 64 // kept: 1 MB
const AGAIN_MS = 5_000 // after an answer that was not whole: the recording may still be decoded

interface Part {
  pairs: Int8Array | null // null: on its way
  since: number
}

/** Parts of the waveform of one job, fetched where somebody looks. `changed` is called when one has come. */
export class PeakParts {
  readonly #id: string
  readonly #changed: () => void
  readonly #parts = new Map<string, Part>()
  /** Whether all was there that the last columns were asked of. */
  wasWhole = true
  #hasFine = true // recordings that an earlier version took have only the coarse level

  constructor(id: string, changed: () => void) {
    this.#id = id
    this.#changed = changed
  }

  /** The level that has a pair for each column of so many per second, or the finer one there is. */
  levelFor(columnsPerSecond: number): Level {
    return this.#hasFine && columnsPerSecond > RATES.coarse ? 'fine' : 'coarse'
  }

  /**
   * The lowest and the highest sample of `count` columns from a time on, each `step` seconds: -128 to 127, alternating. What has
   * not come yet, or lies behind the end, is 0.
   */
  columns(from: number, step: number, count: number): Int8Array {
    const level = this.levelFor(1 / step)
    const rate = RATES[level]
    const found = new Int8Array(2 * count)
    let key = -1
    let pairs: Int8Array | null = null
    this.wasWhole = true
    for (let column = 0; column < count; column += 1) {
      const first = Math.floor((from + column * step) * rate + 1e-6)
      const last = Math.max(first + 1, Math.floor((from + (column + 1) * step) * rate + 1e-6))
      for (let at = Math.max(0, first); at < last; at += 1) {
        const part = Math.floor(at / PART_PAIRS)
        if (part !== key) {
          key = part
          pairs = this.#part(level, part)
        }
        const place = 2 * (at % PART_PAIRS)
        if (!pairs || place + 1 >= pairs.length) {
          this.wasWhole = false
          continue
        }
        found[2 * column] = Math.min(found[2 * column]!, pairs[place]!)
        found[2 * column + 1] = Math.max(found[2 * column + 1]!, pairs[place + 1]!)
      }
    }
    return found
  }

  #part(level: Level, number: number): Int8Array | null {
    const key = `${level} ${number}`
    const known = this.#parts.get(key)
    if (known) {
      this.#parts.delete(key)
      this.#parts.set(key, known) // the newest one
      const isWhole = known.pairs === null || known.pairs.length === 2 * PART_PAIRS
      if (isWhole || performance.now() - known.since < AGAIN_MS) return known.pairs
    }
    const part: Part = { pairs: known?.pairs ?? null, since: performance.now() }
    this.#parts.set(key, part)
    for (const oldest of this.#parts.keys()) {
      if (this.#parts.size <= MOST_PARTS) break
      this.#parts.delete(oldest)
    }
    void this.#fetch(level, number, part)
    return part.pairs
  }

  async #fetch(level: Level, number: number, part: Part): Promise<void> {
    const begin = 2 * PART_PAIRS * number
    const path = `/api/jobs/${this.#id}/peaks${level === 'fine' ? '?fine=true' : ''}`
    const Range = `bytes=${begin}-${begin + 2 * PART_PAIRS - 1}`
    const answer = await fetch(serviceUrl(path), { headers: { Range } }).catch(() => null)
    if (answer?.status === 404 && level === 'fine') this.#hasFine = false
    // 416: nothing is there yet. 200: a server in between that knows no ranges.
    const data = answer?.ok ? await answer.arrayBuffer().catch(() => new ArrayBuffer(0)) : new ArrayBuffer(0)
    const pairs = new Int8Array(data)
    part.pairs = answer?.status === 200 ? pairs.slice(begin, begin + 2 * PART_PAIRS) : pairs
    part.since = performance.now()
    this.#changed()
  }
}
