// Sound in blocks: what comes from a microphone in small pieces is packed into blocks of a tenth of a second. Pure.

/** A block of sound as the service takes it. */
export interface Block {
  at: number // samples before it
  samples: Int16Array<ArrayBuffer>
  peak: number // the loudest sample, from 0 to 1
}

const BLOCKS_PER_S = 10
const FULL_SCALE = 32_767

/** Packs samples from -1 to 1 into blocks of whole numbers. What is louder is cut at full scale. */
export class Packer {
  private readonly size: number
  private samples: Int16Array<ArrayBuffer>
  private filled = 0
  private at = 0
  private peak = 0

  constructor(
    rate: number,
    private readonly emit: (block: Block) => void,
  ) {
    this.size = Math.round(rate / BLOCKS_PER_S)
    this.samples = new Int16Array(this.size)
  }

  take(quantum: Float32Array): void {
    for (const value of quantum) {
      const held = Math.max(-1, Math.min(1, value))
      this.peak = Math.max(this.peak, Math.abs(held))
      this.samples[this.filled++] = Math.round(held * FULL_SCALE)
      if (this.filled === this.size) this.flush()
    }
  }

  /** Emit the block that is not full. */
  flush(): void {
    if (this.filled) {
      const samples = this.samples.slice(0, this.filled)
      this.emit({ at: this.at, samples, peak: this.peak })
      this.at += this.filled
    }
    this.filled = 0
    this.peak = 0
  }
}
