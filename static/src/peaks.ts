/** Make `count` columns of loudness from 0 to 1 of peaks (low, high as int8). Each is the loudest of its stretch. */
export function columns(peaks: Int8Array, count: number): number[] {
  const pairs = peaks.length >> 1
  return Array.from({ length: count }, (_, column) => {
    let loudest = 0
    const from = Math.floor((column / count) * pairs)
    const to = Math.min(pairs, Math.max(from + 1, Math.ceil(((column + 1) / count) * pairs)))
    for (let i = from; i < to; i += 1) loudest = Math.max(loudest, peaks[2 * i + 1]!, -peaks[2 * i]!)
    return Math.min(1, loudest / 127)
  })
}
