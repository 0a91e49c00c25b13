// The recording of one transcript: its position, whether it plays, and the actions of the player.
import { computed, onMounted, onUnmounted, ref, watch, type Ref } from 'vue'
import { awaitsFetch } from './jobs.ts'
import { preferences } from './preferences.ts'
import { indexAt } from './transcript_text.ts'
import type { Job, Segment } from './types.ts'

const RATES = Array.from({ length: 26 }, (_, step) => (5 + step) / 10) // 0.5 to 3
/** The speeds to choose from, with the one of now. */
export const rates = (): number[] => [...new Set([...RATES, preferences.rate])].sort((a, b) => a - b)

const SLOWER = 0.7 // of the speed, while somebody types
const SLOW_MS = 1_500 // after the last key

/** What may be played of a recording, best first: the recording as it was sent, and its listening copy. */
export function soundsOf(job: Job): string[] {
  if (awaitsFetch(job)) return []
  const address = `/api/jobs/${job.id}/media`
  if (!job.copy_bytes) return [address]
  const copy = `${address}?original=0`
  return job.playable === 'copy' ? [copy, `${address}?original=1`] : [address, copy]
}

export type Player = ReturnType<typeof usePlayer>

/** `sources`: what may be played, best first. The next one is tried when the browser cannot play one. */
export function usePlayer(
  media: Readonly<Ref<HTMLMediaElement | null>>,
  lines: Ref<Segment[]>,
  sources: Readonly<Ref<string[]>>,
) {
  const time = ref(0)
  const length = ref(0)
  const playing = ref(false)
  const playable = ref<boolean | null>(null) // null: not known yet
  const loop = ref(false)
  const moves = ref(0) // how often the reader went to a place or pressed Play: each time the text shows the line
  let pendingSeek: number | null = null // asked for before the recording was loaded
  let pendingPlay = false
  const refused = ref(0) // how many of the sources the browser cannot play
  const source = computed(() => sources.value[Math.min(refused.value, sources.value.length - 1)])
  watch(
    () => sources.value.join(),
    () => {
      refused.value = 0
    },
    { flush: 'sync' },
  )
  // What was playing goes on at the same place with another source. Taken before the element gets it: from then on
  // its position is 0, and it says `emptied` only some frames later.
  watch(
    source,
    () => {
      if (playable.value && time.value) {
        pendingSeek ??= time.value
        pendingPlay = playing.value
      }
      forget()
    },
    { flush: 'sync' },
  )
  function forget(): void {
    playable.value = null
    playing.value = false
  }
  let loopLine = -1
  let until: number | null = null // where a part that is played ends

  const slow = ref(false)
  let slowTimer: ReturnType<typeof setTimeout> | undefined
  const currentLine = computed(() => (playable.value ? indexAt(lines.value, time.value) : -1))

  /** Go to a place. The text shows the line. */
  function seek(to: number, play = false): void {
    moves.value += 1
    until = null
    jump(to, play)
  }
  /** Play from a time up to another one. */
  function playPart(from: number, to: number): void {
    seek(from, true)
    until = to
  }
  function jump(to: number, play = false): void {
    const element = media.value
    if (!element || !playable.value) {
      pendingSeek = to
      return
    }
    time.value = Math.max(0, Math.min(to, length.value || to))
    element.currentTime = time.value
    if (loop.value) loopLine = indexAt(lines.value, time.value)
    if (play) void element.play().catch(() => undefined)
  }
  function toggle(): void {
    if (!playable.value) return
    const element = media.value!
    moves.value += 1
    until = null
    if (element.paused) void element.play().catch(() => undefined)
    else {
      element.pause()
      if (preferences.rewind && !element.ended) jump(element.currentTime - preferences.rewind)
    }
  }
  function setRate(rate: number): void {
    preferences.rate = rate
  }
  /** Play slower for a moment: somebody types. */
  function slowDown(): void {
    slow.value = true
    clearTimeout(slowTimer)
    slowTimer = setTimeout(() => {
      slow.value = false
    }, SLOW_MS)
  }
  function changeRate(by: 1 | -1): void {
    setRate(Math.min(3, Math.max(0.5, Math.round(10 * preferences.rate + by) / 10)))
  }
  /** Go to the line before or after the current one. */
  function step(by: 1 | -1): void {
    const line = lines.value[Math.max(0, Math.min(lines.value.length - 1, currentLine.value + by))]
    if (line) seek(line.start)
  }
  function replay(): void {
    const line = lines.value[currentLine.value]
    if (line) seek(line.start, true)
  }
  function setLoop(on: boolean): void {
    loop.value = on
    loopLine = on ? currentLine.value : -1
  }

  const listeners: Record<string, () => void> = {
    loadedmetadata: () => {
      length.value = media.value!.duration
      playable.value = true
      media.value!.playbackRate = preferences.rate
      media.value!.volume = preferences.volume
      if (pendingSeek !== null) seek(pendingSeek, pendingPlay)
      pendingSeek = null
      pendingPlay = false
    },
    emptied: forget,
    durationchange: () => {
      length.value = media.value!.duration || length.value
    },
    error: () => {
      if (refused.value < sources.value.length - 1) refused.value += 1
      else playable.value = false
    },
    play: () => {
      playing.value = true
    },
    pause: () => {
      playing.value = false
    },
    seeked: () => {
      if (playable.value) time.value = media.value!.currentTime
    },
  }
  let frame = 0
  function tick(): void {
    frame = requestAnimationFrame(tick)
    if (!media.value || !playing.value) return
    time.value = media.value.currentTime
    const line = loop.value ? lines.value[loopLine] : undefined
    if (line && time.value >= line.end) jump(line.start)
    if (until === null || time.value < until) return
    until = null
    media.value.pause()
  }
  onMounted(() => {
    for (const [name, listener] of Object.entries(listeners)) media.value!.addEventListener(name, listener)
    frame = requestAnimationFrame(tick)
  })
  onUnmounted(() => {
    cancelAnimationFrame(frame)
    clearTimeout(slowTimer)
  })
  watch(
    () => preferences.rate * (slow.value ? SLOWER : 1),
    (rate) => {
      if (media.value) media.value.playbackRate = rate
    },
  )
  watch(
    () => preferences.volume,
    (volume) => {
      if (media.value) media.value.volume = volume
    },
  )

  return {
    source,
    time,
    length,
    playing,
    playable,
    loop,
    moves,
    currentLine,
    seek,
    playPart,
    toggle,
    setRate,
    changeRate,
    slowDown,
    step,
    replay,
    setLoop,
  }
}
