// The part of a recording that a strip shows: how close it is seen, and where. It follows what plays until somebody scrolls.
import { computed, nextTick, onMounted, onUnmounted, ref, watch, type Ref } from 'vue'
import type { Player } from '../player.ts'
import { preferences } from '../preferences.ts'
import { fitted, nextSpan, scrolledTo, spansFor, tilesAt, turned } from './zoom.ts'

/** `view`: the element that scrolls. `isBusy`: something is dragged in it, so it stays where it is. */
export function useZoomedView(view: Readonly<Ref<HTMLElement | null>>, player: Player, isBusy: () => boolean) {
  const { time, length, playing, moves } = player
  const width = ref(0) // of the strip, in pixels
  const left = ref(0) // how far it is scrolled
  const away = ref(false) // somebody scrolled away from what plays
  const span = computed(() => fitted(preferences.zoom_s, length.value, width.value || 1))
  const scale = computed(() => width.value / span.value) // pixels per second
  const from = computed(() => left.value / (scale.value || 1))
  const tiles = computed<number[]>((before) => {
    const now = width.value ? tilesAt(left.value, width.value) : []
    return before && before.join() === now.join() ? before : now
  })
  let expected = 0 // where this code scrolled to

  function scrollTo(px: number): void {
    if (!view.value) return
    view.value.scrollLeft = px
    expected = view.value.scrollLeft
    left.value = expected
  }
  const scrollToTime = (begin: number): void => scrollTo(begin * scale.value)
  function onScroll(): void {
    if (!view.value) return
    left.value = view.value.scrollLeft
    if (Math.abs(left.value - expected) > 2) away.value = true
    expected = left.value
  }
  /** Have a time in sight. */
  function show(seconds: number, isPlaying = false): void {
    const begin = turned(seconds, from.value, span.value, isPlaying)
    if (begin !== null) scrollToTime(begin)
  }
  function follow(): void {
    onScroll() // the event of a scroll comes a frame later
    away.value = false
    show(time.value)
  }
  /** Show another number of seconds. What is `at` pixels from the left stays there, or the time `to` comes there. */
  async function zoomTo(seconds: number, at?: number, to?: number): Promise<void> {
    onScroll()
    const isSeen = time.value >= from.value && time.value <= from.value + span.value
    const place = at ?? (isSeen ? (time.value - from.value) * scale.value : width.value / 2)
    const held = to ?? from.value + place / scale.value
    preferences.zoom_s = fitted(seconds, length.value, width.value)
    await nextTick()
    scrollTo(scrolledTo(held, place, width.value, span.value))
  }
  const zoom = (step: 1 | -1): Promise<void> => zoomTo(nextSpan(span.value, step))
  const canZoom = (step: 1 | -1): boolean => {
    const { least, most } = spansFor(length.value, width.value)
    return step > 0 ? span.value > least + 0.5 : span.value < most - 0.5
  }
  /** A wheel with Ctrl, or two fingers on a touchpad: closer and farther where the pointer is. */
  function onWheel(event: WheelEvent): void {
    if (!event.ctrlKey && !event.metaKey) return
    event.preventDefault()
    const turn = Math.max(-50, Math.min(50, event.deltaY))
    void zoomTo(span.value * Math.exp(turn * 0.006), event.clientX - view.value!.getBoundingClientRect().left)
  }
  let pinch: { apart: number; span: number; time: number } | null = null // as two fingers began
  /** Two fingers: what is between them stays there, closer the farther they are apart. */
  function onTouch(event: TouchEvent): void {
    const [one, two] = event.touches
    if (!one || !two || isBusy()) {
      pinch = null
      return
    }
    if (event.cancelable) event.preventDefault() // else the strip is scrolled
    const apart = Math.max(1, Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY))
    const at = (one.clientX + two.clientX) / 2 - view.value!.getBoundingClientRect().left
    pinch ??= { apart, span: span.value, time: from.value + at / scale.value }
    away.value = true
    void zoomTo((pinch.span * pinch.apart) / apart, at, pinch.time)
  }
  /** A page forward (1) or back (-1). */
  function page(step: 1 | -1): void {
    away.value = true
    scrollTo(left.value + step * width.value * 0.8)
  }

  watch(time, (now) => {
    if (!away.value && !isBusy()) show(now, playing.value)
  })
  watch(moves, () => {
    if (!isBusy()) follow()
  })
  const observer = new ResizeObserver(() => {
    const begin = from.value
    width.value = view.value?.clientWidth ?? 0
    void nextTick(() => (away.value ? scrollToTime(begin) : follow()))
  })
  onMounted(() => observer.observe(view.value!))
  onUnmounted(() => observer.disconnect())
  const acts = { follow, show, zoom, canZoom, page, onScroll, onWheel, onTouch }
  return { width, left, span, scale, from, tiles, away, playing, ...acts }
}
