// Where the lines of a text are in the page, and what is marked in them by the CSS Custom Highlight API, without drawing.
import { computed, nextTick, onMounted, onUnmounted, watch, type ComputedRef, type Ref } from 'vue'
import type { Row } from './transcript_text.ts'

interface Highlights {
  set(name: string, highlight: object): void
  delete(name: string): void
}
const highlights = (globalThis.CSS as unknown as { highlights?: Highlights } | undefined)?.highlights
const Highlight = (globalThis as unknown as { Highlight: new (...ranges: Range[]) => object }).Highlight

/** A stretch of a line: its place in the list of lines, and UTF-16 units of its text. */
export type Stretch = readonly [index: number, from: number, to: number]

export function useTextPlaces(text: Readonly<Ref<HTMLElement | null>>, blocks: ComputedRef<Row[][]>) {
  /** Where each line is: its block, and its row in the block. */
  const places = computed(() => {
    const found: [block: number, row: number][] = []
    blocks.value.forEach((block, nth) =>
      block.forEach((row, at) => {
        if (row.line && !row.fresh) found.push([nth, at])
      }),
    )
    return found
  })
  function lineElement(index: number): HTMLElement | null {
    const place = places.value[index]
    return ((place && text.value?.children[place[0]]?.children[place[1]]) as HTMLElement | undefined) ?? null
  }
  const paragraph = (line: Element | null) => line?.querySelector<HTMLElement>(':scope > p') ?? null

  function rangeOf([index, from, to]: Stretch): Range | null {
    const node = paragraph(lineElement(index))?.firstChild
    if (!node || to > (node.textContent?.length ?? 0)) return null
    const range = new Range()
    range.setStart(node, from)
    range.setEnd(node, to)
    return range
  }
  const used = new Set<string>()
  /** Give stretches the look of `::highlight(name)`. */
  function mark(name: string, stretches: readonly Stretch[]): void {
    used.add(name)
    highlights?.set(name, new Highlight(...stretches.map(rangeOf).filter((range) => range !== null)))
  }

  // What may be thousands of places in ten hours of text is marked near the window only.
  const near = new Set<string>() // the first rows of blocks
  const marks = new Map<string, () => readonly Stretch[]>()
  const isNear = ([index]: Stretch) => near.has(blocks.value[places.value[index]?.[0] ?? -1]?.[0]?.key ?? '')
  const markNear = (name: string) => mark(name, marks.get(name)!().filter(isNear))
  /** Mark what `stretches` gives, near the window. Marks follow when that changes. */
  function markAll(name: string, stretches: () => readonly Stretch[]): void {
    marks.set(name, stretches)
    watch([stretches, blocks], () => void nextTick(() => markNear(name)), { flush: 'post' }) // behind the texts of lines
  }
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const key = (target as HTMLElement).dataset.block!
        if (isIntersecting) near.add(key)
        else near.delete(key)
      }
      for (const name of marks.keys()) markNear(name)
    },
    { rootMargin: '100%' },
  )
  const observed = new WeakSet<Element>()
  function observe(): void {
    for (const block of text.value?.children ?? []) {
      if (observed.has(block)) continue
      observed.add(block)
      observer.observe(block)
    }
  }
  onMounted(observe)
  watch(blocks, observe, { flush: 'post' })
  onUnmounted(() => {
    observer.disconnect()
    for (const name of used) highlights?.delete(name)
  })
  return { lineElement, paragraph, mark, markAll }
}

/** The part of the window between the bar and what lies at its foot: the player, keys for a phone, its keyboard. */
export function room(): [top: number, bottom: number] {
  const bar = document.querySelector('.reading-bar')?.getBoundingClientRect()
  const feet = [...document.querySelectorAll('.player, .key-strip')].map((foot) => foot.getBoundingClientRect())
  const { offsetTop = 0, height = innerHeight } = globalThis.visualViewport ?? {}
  const tops = feet.filter((foot) => foot.height > 0).map((foot) => foot.top)
  return [Math.max(offsetTop, bar?.bottom ?? 0), Math.min(offsetTop + height, ...tops)]
}
export function isSeen(element: Element): boolean {
  const { top, bottom } = element.getBoundingClientRect()
  const [least, most] = room()
  return top >= least && bottom <= most
}

const FAR = 2 // windows: further than so, a smooth scroll takes longer than the reader waits

/** Show a line in the middle of the window. With `gently`, a line that is seen already stays where it is. */
export function revealLine(line: HTMLElement | null, how: 'smooth' | 'gently' | 'now' = 'now'): void {
  if (!line || (how === 'gently' && isSeen(line))) return
  const { top } = line.getBoundingClientRect()
  const behavior = how === 'smooth' && Math.abs(top) < FAR * innerHeight ? 'smooth' : 'instant'
  line.scrollIntoView({ block: 'center', behavior })
  if (behavior === 'smooth') return
  let looks = 3 // blocks on the way are drawn now, and are seldom as high as was assumed
  const again = () => {
    if (!isSeen(line)) line.scrollIntoView({ block: 'center', behavior: 'instant' })
    if (--looks) requestAnimationFrame(again)
  }
  requestAnimationFrame(again)
}

const MARGIN_PX = 8

/** Scroll as little as is needed for an element to be seen as a whole. */
export function keepInSight(element: Element): void {
  const { top, bottom } = element.getBoundingClientRect()
  const [least, most] = room()
  if (top < least) scrollBy({ top: top - least - MARGIN_PX, behavior: 'instant' })
  else if (bottom > most) scrollBy({ top: Math.min(top - least, bottom - most) + MARGIN_PX, behavior: 'instant' })
}
