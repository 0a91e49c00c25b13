// Takes every sample on the audio thread, where a busy page cannot make it late, and posts blocks. Told to pause, it lets sound pass.
import { Packer } from './blocks.ts'

/** What a page says to the worklet. `stop` is answered with `stopped`, after the last block. */
export type Order = 'record' | 'pause' | 'stop'

declare const sampleRate: number
declare class AudioWorkletProcessor {
  readonly port: MessagePort
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void

class Capture extends AudioWorkletProcessor {
  private order: Order = 'pause'
  private readonly packer = new Packer(sampleRate, (block) => this.port.postMessage(block, [block.samples.buffer]))
  private readonly nothing = new Float32Array(128) // samples of a quantum

  constructor() {
    super()
    this.port.onmessage = ({ data }: MessageEvent<Order>) => {
      this.order = data
      if (data !== 'record') this.packer.flush()
      if (data === 'stop') this.port.postMessage('stopped')
    }
  }

  process([input]: [Float32Array[]]): boolean {
    if (this.order === 'record') this.packer.take(input[0] ?? this.nothing) // a source without sound is silence
    return this.order !== 'stop'
  }
}

registerProcessor('capture', Capture)
