// Pointers on the zoomed waveform: what they take, move and let go.
import { onMounted, onUnmounted, watch, type Ref } from 'vue'
import type { Edge, Handle } from './edges.ts'
import type { Edges } from './edges_moving.ts'

const NEAR_PX = 16 // of the ends of the strip: what is dragged there scrolls it
const DRAG_PX = 5 // a click may tremble

/** `view`: the element that scrolls; `sheet`: all that is in it. `scale`: pixels per second. */
export function useDragging(
  view: Readonly<Ref<HTMLElement | null>>,
  sheet: Readonly<Ref<HTMLElement | null>>,
  scale: Readonly<Ref<number>>,
  edges: Edges,
  acts: { focus(edge: Edge): void; seek(seconds: number): void },
) {
  const { chosen, dragging } = edges
  const timeAt = ({ clientX }: { clientX: number }): number =>
    (clientX - sheet.value!.getBoundingClientRect().left) / scale.value
  const blockOf = (target: EventTarget | null): string | undefined =>
    (target as Element).closest<HTMLElement>('[data-stretch]')?.dataset.stretch
  let pointer = { clientX: 0 }
  let dropped = false // there was a drag: the click at its end goes nowhere
  let pressed: { id: string; event: PointerEvent } | null = null // a block that is moved if the pointer moves

  function take(handle: Handle, id: string, event: PointerEvent): void {
    pressed = null
    chosen.value = id
    edges.take(handle, timeAt(event))
    pointer = event
    if (dragging.value) sheet.value!.setPointerCapture(event.pointerId)
  }
  function onPointerDown(event: PointerEvent): void {
    dropped = false
    pressed = null
    const target = event.target as Element
    const edge = target.closest<HTMLElement>('[data-edge]')?.dataset.edge as Edge | undefined
    const id = blockOf(target)
    if (!id || event.button !== 0 || !event.isPrimary) return
    if (edge) {
      event.preventDefault() // no text is selected
      take(edge, id, event)
      acts.focus(edge)
    } else if (event.pointerType !== 'touch' || target.matches('.label')) pressed = { id, event } // else a finger scrolls
  }
  function onPointerMove(event: PointerEvent): void {
    if (pressed && !event.buttons) pressed = null // let go elsewhere
    if (pressed && Math.abs(event.clientX - pressed.event.clientX) >= DRAG_PX) take('whole', pressed.id, pressed.event)
    if (!dragging.value) return
    pointer = event
    const { left, right } = view.value!.getBoundingClientRect()
    const over = Math.min(0, event.clientX - left - NEAR_PX) + Math.max(0, event.clientX - right + NEAR_PX)
    view.value!.scrollLeft += over
    edges.drag(timeAt(event), event.shiftKey)
  }
  function onPointerUp(event: PointerEvent): void {
    pressed = null
    if (!dragging.value) return
    edges.drag(timeAt(event), event.shiftKey)
    edges.finish()
  }
  function onPointerCancel(): void {
    pressed = null
    edges.cancel()
  }
  function onClick(event: MouseEvent): void {
    if (dropped || (event.target as Element).closest('[data-edge]')) return
    const id = blockOf(event.target)
    acts.seek(timeAt(event))
    if (id) chosen.value = id
  }
  watch(dragging, (now) => (dropped ||= now !== null))
  /** While something is dragged, Escape takes that back, and Shift lets it hold on to nothing. */
  function onWindowKey(event: KeyboardEvent): void {
    if (!dragging.value) return
    if (event.key === 'Shift') edges.drag(timeAt(pointer), event.type === 'keydown')
    if (event.key !== 'Escape' || event.type !== 'keydown') return
    event.preventDefault()
    event.stopPropagation()
    edges.cancel()
  }
  onMounted(() => {
    for (const type of ['keydown', 'keyup'] as const) addEventListener(type, onWindowKey, true)
  })
  onUnmounted(() => {
    for (const type of ['keydown', 'keyup'] as const) removeEventListener(type, onWindowKey, true)
  })
  return { blockOf, onPointerDown, onPointerMove, onPointerUp, onPointerCancel, onClick }
}
