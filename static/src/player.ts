// The recording of one transcript: where it is, whether it plays, and what may be asked of it.
import { computed, onMounted, onUnmounted, ref, watch, type Ref } from 'vue'
import { preferences } from './preferences.ts'
import { at } from './transcript_text.ts'
import type { Segment } from './types.ts'

export const RATES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3] as const

export type Player = ReturnType<typeof usePlayer>

export function usePlayer(media: Readonly<Ref<HTMLMediaElement | null>>, lines: Ref<Segment[]>) {
  const time = ref(0)
  const length = ref(0)
  const playing = ref(false)
  const playable = ref<boolean | null>(null) // null: not known yet
  const loop = ref(false)
  let wanted: number | null = null // asked for before the recording was there
  let looped = -1

  const now = computed(() => (playable.value ? at(lines.value, time.value) : -1))

  function seek(to: number, play = false): void {
    const element = media.value
    if (!element || !playable.value) {
      wanted = to
      return
    }
    time.value = Math.max(0, Math.min(to, length.value || to))
    element.currentTime = time.value
    if (loop.value) looped = at(lines.value, time.value)
    if (play) void element.play().catch(() => undefined)
  }
  function toggle(): void {
    if (!playable.value) return
    if (media.value?.paused) void media.value.play().catch(() => undefined)
    else media.value?.pause()
  }
  function rate(to: number): void {
    preferences.rate = to
  }
  function faster(by: 1 | -1): void {
    const index = RATES.findIndex((each) => each >= preferences.rate)
    rate(RATES[Math.max(0, Math.min(RATES.length - 1, index + by))]!)
  }
  /** To the line before or after the one that sounds. */
  function step(by: 1 | -1): void {
    const line = lines.value[Math.max(0, Math.min(lines.value.length - 1, now.value + by))]
    if (line) seek(line.start)
  }
  function replay(): void {
    const line = lines.value[now.value]
    if (line) seek(line.start, true)
  }
  function turn(on: boolean): void {
    loop.value = on
    looped = on ? now.value : -1
  }

  const events: Record<string, () => void> = {
    loadedmetadata: () => {
      length.value = media.value!.duration
      playable.value = true
      media.value!.playbackRate = preferences.rate
      if (wanted !== null) seek(wanted)
    },
    durationchange: () => { length.value = media.value!.duration || length.value },
    error: () => { playable.value = false },
    play: () => { playing.value = true },
    pause: () => { playing.value = false },
    seeked: () => { time.value = media.value!.currentTime },
  }
  let frame = 0
  function tick(): void {
    frame = requestAnimationFrame(tick)
    if (!media.value || !playing.value) return
    time.value = media.value.currentTime
    const line = loop.value ? lines.value[looped] : undefined
    if (line && time.value >= line.end) seek(line.start)
  }
  onMounted(() => {
    for (const [name, does] of Object.entries(events)) media.value!.addEventListener(name, does)
    frame = requestAnimationFrame(tick)
  })
  onUnmounted(() => cancelAnimationFrame(frame))
  watch(() => preferences.rate, (to) => { if (media.value) media.value.playbackRate = to })

  return { time, length, playing, playable, loop, now, seek, toggle, faster, rate, step, replay, turn }
}
