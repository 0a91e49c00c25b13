// Where the lines of a text are in the page, while it is shown line by line.
import { computed, type ComputedRef, type Ref } from 'vue'
import type { Row } from '../transcript_text.ts'
import { rangeIn, type Stretch } from './highlights.ts'

export const paragraphOf = (line: Element | null): HTMLElement | null =>
  line?.querySelector<HTMLElement>(':scope > p') ?? null

export function useLinePlaces(text: Readonly<Ref<HTMLElement | null>>, blocks: ComputedRef<Row[][]>) {
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
  function blocksOf(index: number): string[] {
    const block = blocks.value[places.value[index]?.[0] ?? -1]
    return block ? [block[0]!.key] : []
  }
  function rangesOf([index, from, to]: Stretch): Range[] {
    const range = rangeIn(paragraphOf(lineElement(index))?.firstChild, from, to)
    return range ? [range] : []
  }
  return { lineElement, blocksOf, rangesOf }
}
