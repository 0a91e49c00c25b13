// Samples as a file that every player reads. Pure.

const HEADER_BYTES = 44

/** Return the parts of a WAV file: 16 bits, one channel, so many samples a second. */
export function wavOf(pieces: readonly ArrayBuffer[], rate: number): ArrayBuffer[] {
  const size = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0)
  const view = new DataView(new ArrayBuffer(HEADER_BYTES))
  const put = (at: number, text: string) => [...text].forEach((one, nth) => view.setUint8(at + nth, one.charCodeAt(0)))
  put(0, 'RIFF')
  view.setUint32(4, size + HEADER_BYTES - 8, true)
  put(8, 'WAVEfmt ')
  view.setUint32(16, 16, true) // bytes of this part
  view.setUint16(20, 1, true) // whole numbers
  view.setUint16(22, 1, true) // channels
  view.setUint32(24, rate, true)
  view.setUint32(28, 2 * rate, true) // bytes a second
  view.setUint16(32, 2, true) // bytes of a moment
  view.setUint16(34, 16, true) // bits
  put(36, 'data')
  view.setUint32(40, size, true)
  return [view.buffer, ...pieces]
}
