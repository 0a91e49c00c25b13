// Moving the edges of a stretch, one or both together: by a pointer, by keys and by typed times. What is moved is shown at once, and is one edit,
// one step of undo, when the moving ends.
import { computed, onBeforeUnmount, ref, shallowRef, watch } from 'vue'
import {
  edgeOf,
  limitsOf,
  limitsOfWhole,
  placed,
  stepped,
  targetsOfWhole,
  withEdge,
  type Edge,
  type Handle,
  type Limits,
} from './edges.ts'
import type { Shown, Timed } from './edges_shown.ts'

const REST_MS = 700 // after the last key: what was moved by keys without a longer rest is one edit

interface Moved {
  id: string
  handle: Handle
  time: number
}

/**
 * `length`: of the recording, in seconds. `targets`: what a dragged edge holds on to, with `nearS` seconds between. `refused` is
 * called when the edit cannot be done.
 */
export function useEdges(
  timed: Timed,
  length: () => number,
  targets: (of: Shown) => number[],
  nearS: () => number,
  refused: () => void,
) {
  const { chosen } = timed
  const moved = shallowRef<Moved | null>(null)
  const dragging = ref<Handle | null>(null)
  let grip = 0 // seconds from the pointer to the handle
  let timer: ReturnType<typeof setTimeout> | undefined

  const places = computed(() => new Map(timed.stretches.value.map(({ id }, index) => [id, index])))
  const indexOf = (id: string): number => places.value.get(id) ?? -1
  /** A stretch as it is shown: with what is moved just now. */
  function shown(stretch: Shown): Shown {
    const now = moved.value
    return now?.id === stretch.id ? withEdge(stretch, now.handle, now.time) : stretch
  }
  const inHand = computed<Shown | null>(() => {
    const found = timed.stretches.value[indexOf(chosen.value)]
    return found ? shown(found) : null
  })
  function limits(handle: Handle): Limits {
    const index = indexOf(chosen.value)
    const { [index - 1]: before, [index]: stretch, [index + 1]: behind } = timed.stretches.value
    return handle === 'whole'
      ? limitsOfWhole(stretch!, before, behind, timed.gap.value, length())
      : limitsOf(stretch!, handle, before, behind, timed.gap.value, length())
  }

  function move(handle: Handle, time: number): void {
    if (moved.value && moved.value.handle !== handle) finish()
    moved.value = { id: chosen.value, handle, time }
  }
  /** Make the edit of what was moved. */
  function finish(): void {
    clearTimeout(timer)
    const now = moved.value
    const stretch = timed.stretches.value[indexOf(now?.id ?? '')]
    dragging.value = null
    moved.value = null
    if (!now || !stretch || stretch.fixed || stretch[edgeOf(now.handle)] === now.time) return
    const { start, end } = withEdge(stretch, now.handle, now.time)
    const id = start < end ? timed.setTimes(stretch.id, start, end) : null
    if (id === null) refused()
    else if (chosen.value === now.id) chosen.value = id
  }
  /** Forget what was moved. */
  function cancel(): void {
    clearTimeout(timer)
    dragging.value = null
    moved.value = null
  }

  /** A pointer took the stretch in hand, at a time. */
  function take(handle: Handle, at: number): void {
    finish()
    if (!inHand.value || inHand.value.fixed) return
    dragging.value = handle
    grip = inHand.value[edgeOf(handle)] - at
  }
  /** The pointer is at another time. `isFree`: what is moved holds on to nothing. */
  function drag(at: number, isFree: boolean): void {
    const [handle, stretch] = [dragging.value, inHand.value]
    if (!handle || !stretch) return
    const near = isFree ? [] : targets(stretch)
    const held = handle === 'whole' ? targetsOfWhole(stretch, near) : near
    move(handle, placed(at + grip, limits(handle), held, isFree ? 0 : nearS()))
  }
  /** A key on an edge, or on both. False: it does nothing there. */
  function step(handle: Handle, key: string, isShift: boolean): boolean {
    if (!inHand.value || inHand.value.fixed) return false
    const to = stepped(key, isShift, inHand.value[edgeOf(handle)], limits(handle))
    if (to === null) return false
    move(handle, to)
    clearTimeout(timer)
    timer = setTimeout(finish, REST_MS)
    return true
  }
  /** Somebody typed the time of an edge: it comes as near as it may. The time that it has then. */
  function set(edge: Edge, time: number): number | null {
    finish()
    if (!inHand.value || inHand.value.fixed) return null
    const { least, most } = limits(edge)
    const to = Math.min(Math.max(time, least), most)
    move(edge, to)
    finish()
    return to
  }
  watch(chosen, () => finish(), { flush: 'sync' }) // another one is taken in hand: the moving has ended
  onBeforeUnmount(finish)
  return { chosen, dragging, moved, inHand, indexOf, shown, limits, take, drag, step, set, finish, cancel }
}
export type Edges = ReturnType<typeof useEdges>
