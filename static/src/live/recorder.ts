// The recording of this tab: sound from its sources goes into the outbox, and from there to the service. It outlives the page
// that began it. One tab of a browser records at a time.
import { reactive } from 'vue'
import { holdLogin, pageProblem } from '../api.ts'
import { jobOptions } from '../preferences.ts'
import { listen } from '../store.ts'
import type { Problem } from '../types.ts'
import type { Block } from './blocks.ts'
import workletUrl from './capture.worklet.ts?worker&url'
import type { Order } from './capture.worklet.ts'
import { findInterrupted, tidy } from './interrupted.ts'
import { holdLock, type Held } from './locks.ts'
import { FLAG, onAir } from './on_air.ts'
import { putPieces, putRecording, SAMPLE_BYTES, type Piece, type Recording } from './outbox.ts'
import { seconds, Sender, type Outcome } from './sender.ts'
import { sentAll } from './sent_all.ts'
import { close, openSources, SourceError, type Choice, type Trouble } from './sources.ts'
import { keepAwake, letSleep } from './wakefulness.ts'

const STALLED_MS = 3_000 // without a block while sound should come
const SILENT_MS = 5_000 // of nothing but zeros: a microphone that is switched off
const STOP_MS = 1_000
const STORE_AGAIN_MS = 1_000
const SILENT = 1e-4 // of full scale: less than the noise of any microphone

export const live = reactive({
  phase: 'idle' as 'idle' | 'starting' | 'recording' | 'paused' | 'stopping',
  begun: 0, // Unix milliseconds
  rate: 0,
  job: null as string | null,
  captured: 0, // bytes
  sent: 0, // bytes that are on the disk of the service
  level: 0, // the loudest sample of the last tenth of a second, 0 to 1
  silent: false, // the microphone gives nothing but zeros
  trouble: null as Trouble | null, // why no sound comes
  problem: null as Problem | null, // why nothing leaves
  failed: null as Problem | null, // why the service takes no more of it: the rest stays in this browser
})

interface Session {
  recording: Recording
  sender: Sender
  locks: Held[]
  streams: MediaStream[]
  context: AudioContext | null
  node: AudioWorkletNode | null
  base: number // bytes before the first block of `node`
  unstored: Piece[]
  storing: Promise<void> | null
  heard: number // when the last block came, and the last one that was not silent
  loud: number
  watch: ReturnType<typeof setInterval> | undefined
}
let session: Session | null = null

/** Whether something would be lost with this tab, or would stay behind. */
export const isUnsent = (): boolean => session !== null && (live.phase !== 'paused' || live.captured > live.sent)

/** Begin a recording. What prevents it is in `live.trouble` and `live.failed`. */
export async function start(choice: Choice, name: string): Promise<void> {
  if (session || live.phase !== 'idle') return
  Object.assign(live, { phase: 'starting', trouble: null, problem: null, failed: null, silent: false })
  const streams: MediaStream[] = []
  const locks: Held[] = []
  try {
    streams.push(...(await openSources(choice))) // before anything else: browsers want the click to be fresh
    const one = await holdLock('recording')
    if (!one) throw new SourceError('elsewhere')
    locks.push(one)
    const key = crypto.randomUUID()
    locks.push((await holdLock(`recording ${key}`))!)
    const { channels: _, track: __, ...options } = jobOptions()
    const source = [choice.microphone && 'microphone', choice.shared && 'shared'].filter(Boolean).join('+')
    const rate = await usualRate()
    const recording = { key, job: null, name, begun: Date.now(), rate, source, options, stopped: false }
    await putRecording(recording).catch(() => {
      throw new SourceError('store')
    })
    localStorage.setItem(FLAG, '1')
    await open(recording, 0, streams, locks)
  } catch (error) {
    close(streams)
    for (const lock of locks) lock.release()
    Object.assign(live, { phase: 'idle', trouble: error instanceof SourceError ? error.trouble : 'failed' })
  }
}

/** Go on with a recording that was interrupted, whose lock the caller gives. `from`: bytes of it so far. */
export async function goOn(recording: Recording, from: number, lock: Held, choice: Choice): Promise<boolean> {
  if (session || live.phase !== 'idle') return false
  Object.assign(live, { phase: 'starting', trouble: null, problem: null, failed: null, silent: false })
  const streams: MediaStream[] = []
  const one = await holdLock('recording')
  try {
    if (!one) throw new SourceError('elsewhere')
    streams.push(...(await openSources(choice)))
    await open(recording, from, streams, [one, lock])
    return true
  } catch (error) {
    close(streams)
    one?.release()
    Object.assign(live, { phase: 'idle', trouble: error instanceof SourceError ? error.trouble : 'failed' })
    return false
  }
}

async function open(recording: Recording, from: number, streams: MediaStream[], locks: Held[]): Promise<void> {
  const sender = new Sender(recording, from, {
    acknowledged: (bytes) => Object.assign(live, { sent: bytes }),
    trouble: (problem) => Object.assign(live, { problem }),
    known: ({ job }) => Object.assign(live, { job }),
  })
  const now = Date.now()
  const fresh: Session = {
    ...{ recording, sender, locks, streams, context: null, node: null, base: from },
    ...{ unstored: [], storing: null, heard: now, loud: now, watch: undefined },
  }
  await capture(fresh)
  session = fresh
  const { begun, rate, job } = recording
  Object.assign(live, { phase: 'recording', begun, rate, job, captured: from, sent: from })
  onAir.value = true
  fresh.watch = setInterval(() => check(fresh), 1_000)
  keepAwake()
  void sender.run().then((outcome) => finish(fresh, outcome))
}

/** Samples a second of this machine: sound is recorded as it comes, and the service converts it. */
async function usualRate(): Promise<number> {
  const context = new AudioContext()
  const { sampleRate } = context
  await context.close()
  return sampleRate
}

async function capture(one: Session): Promise<void> {
  const context = new AudioContext({ sampleRate: one.recording.rate })
  try {
    await context.audioWorklet.addModule(workletUrl)
    // One channel: those of the sources are mixed. The output is silent; without one, some browsers do not ask for sound.
    const mono = { channelCount: 1, channelCountMode: 'explicit', channelInterpretation: 'speakers' } as const
    const node = new AudioWorkletNode(context, 'capture', { ...mono, outputChannelCount: [1] })
    node.connect(context.destination)
    for (const stream of one.streams) {
      context.createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(node)
      for (const track of stream.getAudioTracks()) track.onended = () => sourceEnded(one, stream)
    }
    node.port.onmessage = ({ data }: MessageEvent<Block | 'stopped'>) => data !== 'stopped' && take(one, data)
    context.onstatechange = () => void (context.state !== 'closed' && context.resume().catch(() => undefined))
    await context.resume()
    order(node, 'record')
    Object.assign(one, { context, node })
  } catch (error) {
    await context.close()
    throw error
  }
}

const order = (node: AudioWorkletNode | null, said: Order): void => node?.port.postMessage(said)

function take(one: Session, { at, samples, peak }: Block): void {
  one.heard = Date.now()
  if (peak > SILENT) one.loud = one.heard
  if (live.trouble === 'stalled') live.trouble = null
  const place = one.base + at * SAMPLE_BYTES
  one.unstored.push({ at: place, data: samples.buffer })
  Object.assign(live, { captured: place + samples.byteLength, level: peak })
  one.storing ??= store(one).finally(() => {
    one.storing = null
  })
}

/** Put what came into the outbox. What a browser does not take, because its disk is full, is offered again. */
async function store(one: Session): Promise<void> {
  while (one.unstored.length) {
    const pieces = [...one.unstored]
    try {
      await putPieces(one.recording.key, pieces)
      one.unstored.splice(0, pieces.length)
      if (live.problem?.code === 'browser_store') live.problem = null
      one.sender.wake()
    } catch {
      live.problem = pageProblem('browser_store')
      await new Promise((done) => setTimeout(done, STORE_AGAIN_MS))
    }
  }
}

/** A device was pulled out, or sharing was stopped in the bar of the browser. The other source goes on. */
function sourceEnded(one: Session, stream: MediaStream): void {
  if (session !== one || !one.streams.includes(stream)) return
  live.trouble = stream.getVideoTracks().length ? 'share_ended' : 'unplugged'
  one.streams = one.streams.filter((other) => other !== stream)
  close([stream])
  if (!one.streams.length) void silence(one)
}

/** End capturing, after the last block. The recording may go on later. */
async function silence(one: Session): Promise<void> {
  const { node, context } = one
  Object.assign(one, { node: null, context: null })
  if (live.phase === 'recording') live.phase = 'paused'
  if (node && context) {
    const stopped = new Promise<void>((done) => {
      const hear = node.port.onmessage!
      node.port.onmessage = (event) => (event.data === 'stopped' ? done() : hear.call(node.port, event))
      setTimeout(done, STOP_MS) // a context that the browser has suspended does not answer
    })
    order(node, 'stop')
    await stopped
    await context.close()
  }
  close(one.streams)
  one.streams = []
  await one.storing
  Object.assign(one, { base: live.captured })
  Object.assign(live, { level: 0, silent: false })
  letSleep()
}

function check(one: Session): void {
  if (live.phase !== 'recording') return
  const now = Date.now()
  live.silent = now - one.loud > SILENT_MS
  if (now - one.heard <= STALLED_MS) return
  live.trouble = 'stalled'
  void one.context?.resume().catch(() => undefined)
}

export function pause(): void {
  if (!session || live.phase !== 'recording') return
  order(session.node, 'pause')
  Object.assign(live, { phase: 'paused', level: 0, silent: false })
  letSleep()
}

/** Go on after a pause, or with other sources after these ended. */
export async function resume(choice: Choice): Promise<void> {
  const one = session
  if (!one || live.phase !== 'paused') return
  Object.assign(live, { phase: 'starting', trouble: null })
  if (!one.node)
    try {
      one.streams = await openSources(choice)
      await capture(one)
    } catch (error) {
      close(one.streams)
      one.streams = []
      Object.assign(live, { phase: 'paused', trouble: error instanceof SourceError ? error.trouble : 'failed' })
      return
    }
  one.heard = one.loud = Date.now()
  order(one.node, 'record')
  live.phase = 'recording'
  keepAwake()
}

/** End the recording. What is not sent yet is sent first. */
export async function stop(): Promise<void> {
  const one = session
  if (!one || live.phase === 'stopping' || live.phase === 'starting') return
  live.phase = 'stopping'
  await silence(one)
  one.recording.stopped = true
  await putRecording(one.recording).catch(() => undefined) // the next page would ask once more
  one.sender.wake()
}

async function finish(one: Session, outcome: Outcome | null): Promise<void> {
  if (!outcome) return
  if ('problem' in outcome) {
    live.failed = outcome.problem
    await silence(one) // nobody should speak into a recording that nothing takes
  }
  clearInterval(one.watch)
  letSleep()
  session = null
  for (const lock of one.locks) lock.release()
  Object.assign(live, { phase: 'idle', problem: null })
  void tidy()
  if ('problem' in outcome)
    void findInterrupted() // it is offered as a file
  else sentAll(outcome.job, one.recording.begun)
}

/** Seconds of this recording in these bytes. */
export const lengthOf = (bytes: number): number => (live.rate ? seconds(bytes, live) : 0)

holdLogin(isUnsent)
addEventListener('beforeunload', (event) => {
  if (isUnsent()) event.preventDefault()
})
addEventListener('online', () => session?.sender.hurry())
listen((message) => {
  if (message.type === 'connection' && message.connection === 'live') session?.sender.hurry()
})
