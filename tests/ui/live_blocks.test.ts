import { Packer, type Block } from '../../static/src/live/blocks.ts'
import { wavOf } from '../../static/src/live/wav.ts'

const packed = (rate: number, quanta: Float32Array[]): Block[] => {
  const blocks: Block[] = []
  const packer = new Packer(rate, (block) => blocks.push(block))
  for (const quantum of quanta) packer.take(quantum)
  packer.flush()
  return blocks
}

it('packs every sample once and in order, whatever the rate', () => {
  for (const rate of [8_000, 16_000, 44_100, 48_000, 96_000]) {
    const all = Array.from({ length: rate }, (_, at) => ((at * 7) % 1_000) / 1_000 - 0.5) // one second
    const quanta: Float32Array[] = []
    for (let at = 0; at < all.length; at += 128) quanta.push(Float32Array.from(all.slice(at, at + 128)))
    const blocks = packed(rate, quanta)
    expect(blocks.map(({ samples }) => samples.length)).toEqual(Array(10).fill(rate / 10))
    expect(blocks.map(({ at }) => at)).toEqual(Array.from({ length: 10 }, (_, nth) => (nth * rate) / 10))
    const samples = blocks.flatMap((block) => [...block.samples])
    expect(samples).toEqual(all.map((value) => Math.round(Math.fround(value) * 32_767)))
  }
})

it('emits what is left when it is flushed, and nothing where nothing came', () => {
  const blocks = packed(16_000, [new Float32Array(1_700).fill(0.25)])
  expect(blocks.map(({ at, samples }) => [at, samples.length])).toEqual([
    [0, 1_600],
    [1_600, 100],
  ])
  expect(blocks[1]!.peak).toBe(0.25)
  expect(packed(16_000, [])).toEqual([])
})

it('cuts what is too loud at full scale', () => {
  const [block] = packed(16_000, [Float32Array.of(2, -2, 1, -1, 0)])
  expect([...block!.samples]).toEqual([32_767, -32_767, 32_767, -32_767, 0])
  expect(block!.peak).toBe(1)
})

it('writes samples as a WAV file', () => {
  const parts = wavOf([Int16Array.of(1, 2).buffer, Int16Array.of(3).buffer], 44_100)
  const view = new DataView(parts[0]!)
  const text = (at: number) => String.fromCharCode(...new Uint8Array(parts[0]!, at, 4))
  expect([text(0), text(8), text(12), text(36)]).toEqual(['RIFF', 'WAVE', 'fmt ', 'data'])
  expect([4, 24, 28, 40].map((at) => view.getUint32(at, true))).toEqual([42, 44_100, 88_200, 6])
  expect([20, 22, 32, 34].map((at) => view.getUint16(at, true))).toEqual([1, 1, 2, 16])
  expect(parts.slice(1).map(({ byteLength }) => byteLength)).toEqual([4, 2])
})
