// What is marked in the text without drawing: highlights, notes, doubtful words, and which lines have a bookmark. A view has
// it while something is marked.
import { defineComponent, onMounted, onUnmounted, watch, type PropType, type Ref } from 'vue'
import { t } from '../i18n/index.ts'
import { preferences } from '../preferences.ts'
import { allDoubts, doubtsOf } from './doubts.ts'
import type { Stretch } from './highlights.ts'
import { stretchesOf } from './mark_places.ts'
import { COLOURS, useMarking } from './marking.ts'
import { useReading } from './reading.ts'

/** How a view shows what is marked. */
export interface MarkPlaces {
  text: Readonly<Ref<HTMLElement | null>>
  drawn: Readonly<Ref<unknown>> // changes when the elements of lines do
  markAll(name: string, stretches: () => readonly Stretch[]): void
  /** The element that shows that a line has a bookmark. */
  lineElement(index: number): HTMLElement | null
  /** The line under the pointer, by its place, the UTF-16 unit of its text, and the element that has it. Null: none. */
  placeAt(event: PointerEvent): { index: number; offset: number; element: HTMLElement } | null
}

export default defineComponent({
  props: { places: { type: Object as PropType<MarkPlaces>, required: true } },
  setup({ places: { text, drawn, markAll, lineElement, placeAt } }) {
    const reading = useReading()
    const { marks, indexOf } = useMarking(reading)
    const { lines } = reading
    const stretches = (kinds: (mark: (typeof marks.value)[number]) => boolean) =>
      stretchesOf(marks.value.filter(kinds), lines.value, indexOf)
    for (const colour of COLOURS) markAll(`mark-${colour}`, () => stretches((mark) => mark.colour === colour))
    markAll('note', () => stretches(({ kind }) => kind === 'note'))
    markAll('doubtful', () =>
      preferences.doubts ? allDoubts(lines.value).map(({ index, from, to }) => [index, from, to] as const) : [],
    )

    let bookmarked: Element[] = []
    const unmark = () => bookmarked.forEach((line) => line.removeAttribute('data-bookmark'))
    watch(
      [marks, drawn],
      () => {
        unmark()
        const found = marks.value
          .filter(({ kind }) => kind === 'bookmark')
          .map(({ first }) => lineElement(indexOf(first.line)))
        bookmarked = found.filter((line) => line !== null)
        for (const line of bookmarked) line.setAttribute('data-bookmark', '')
      },
      { flush: 'post', immediate: true },
    )

    /** Say of a doubtful word under the pointer how sure the model was. */
    function onPointerMove(event: PointerEvent): void {
      const place = event.pointerType === 'mouse' ? placeAt(event) : null
      if (!place) return
      const line = preferences.doubts ? lines.value[place.index] : undefined
      const doubt = line && doubtsOf(line).find(({ from, to }) => from <= place.offset && place.offset < to)
      const why = doubt ? t('doubtful_why', { p: doubt.probability.toFixed(2) }) : ''
      if (place.element.title !== why) place.element.title = why
    }
    let element: HTMLElement | null = null
    onMounted(() => {
      element = text.value
      element?.addEventListener('pointermove', onPointerMove)
    })
    onUnmounted(() => {
      unmark()
      element?.removeEventListener('pointermove', onPointerMove)
    })
    return () => null
  },
})
