// What is marked in a text by the CSS Custom Highlight API, without drawing.
import { nextTick, onMounted, onScopeDispose, onUnmounted, watch, type Ref } from 'vue'
import { stretchesOf, type Hit } from './hits.ts'

interface Highlights {
  set(name: string, highlight: object): void
  delete(name: string): void
}
const highlights = (globalThis.CSS as unknown as { highlights?: Highlights } | undefined)?.highlights
const Highlight = (globalThis as unknown as { Highlight: new (...ranges: Range[]) => object }).Highlight

/** A stretch of a line: its place in the list of lines, and UTF-16 units of its text as the page shows it. */
export type Stretch = readonly [index: number, from: number, to: number]

/** How a view shows lines. */
export interface Shown {
  text: Readonly<Ref<HTMLElement | null>> // its children are blocks with a `data-block`
  drawn: Readonly<Ref<unknown>> // changes when the elements of lines do
  /** The blocks that a line is in, by their `data-block`. */
  blocksOf(index: number): readonly string[]
  /** Where a stretch is in the document. */
  rangesOf(stretch: Stretch): Range[]
}

/** The part of a text node between two places. Null: it has no such part now. */
export function rangeIn(node: Node | null | undefined, from: number, to: number): Range | null {
  if (!node || to > (node.textContent?.length ?? 0)) return null
  const range = new Range()
  range.setStart(node, from)
  range.setEnd(node, to)
  return range
}

export function useHighlights({ text, drawn, blocksOf, rangesOf }: Shown) {
  const used = new Set<string>()
  /** Give stretches the look of `::highlight(name)`. */
  function mark(name: string, stretches: readonly Stretch[]): void {
    used.add(name)
    highlights?.set(name, new Highlight(...stretches.flatMap(rangesOf)))
  }

  // What may be thousands of places in ten hours of text is marked near the window only.
  const near = new Set<string>() // blocks
  const marks = new Map<string, () => readonly Stretch[]>()
  const isNear = ([index]: Stretch) => blocksOf(index).some((key) => near.has(key))
  function markNear(name: string): void {
    const stretches = marks.get(name)
    if (stretches) mark(name, stretches().filter(isNear))
  }
  /** Mark what `stretches` gives, near the window, as long as its caller is there. Marks follow when that changes. */
  function markAll(name: string, stretches: () => readonly Stretch[]): void {
    marks.set(name, stretches)
    const later = () => void nextTick(() => markNear(name)) // behind the texts of lines
    watch([stretches, drawn], later, { flush: 'post', immediate: true })
    onScopeDispose(() => {
      marks.delete(name)
      highlights?.delete(name)
    })
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
  watch(drawn, observe, { flush: 'post' })
  onUnmounted(() => {
    observer.disconnect()
    for (const name of used) highlights?.delete(name)
  })
  return { mark, markAll }
}

/** Mark what is looked for, and the one find that was gone to. */
export function useMarkedFinds(
  { mark, markAll }: ReturnType<typeof useHighlights>,
  drawn: Readonly<Ref<unknown>>,
  hits: () => readonly Hit[],
  hit: () => number,
): void {
  markAll('hit', () => hits().flatMap(stretchesOf))
  watch(
    [hits, hit, drawn],
    () => {
      const one = hits()[hit()]
      mark('chosen', one ? stretchesOf(one) : [])
    },
    { flush: 'post' },
  )
}
