// What is marked in the text without drawing: highlights, notes, doubtful words, and which lines have a bookmark.
import { onMounted, onUnmounted, watch, type Ref } from 'vue'
import { t } from '../i18n/index.ts'
import { preferences } from '../preferences.ts'
import type { Stretch } from '../text_places.ts'
import { wordAt } from '../transcript_text.ts'
import { allDoubts, doubtsOf } from './doubts.ts'
import './marks.css'
import { stretchesOf } from './mark_places.ts'
import { COLOURS, useMarking, type Marked } from './marking.ts'

interface Places {
  text: Readonly<Ref<HTMLElement | null>>
  blocks: Readonly<Ref<unknown>>
  lineElement(index: number): HTMLElement | null
  markAll(name: string, stretches: () => readonly Stretch[]): void
  isShown(): boolean // these lines, and not those that the model wrote
}

const offsetAt = (x: number, y: number): number | undefined =>
  document.caretPositionFromPoint?.(x, y)?.offset ?? document.caretRangeFromPoint?.(x, y)?.startOffset

export function useMarkedText(page: Marked, { text, blocks, lineElement, markAll, isShown }: Places): void {
  const { marks, indexOf } = useMarking(page)
  const { lines } = page
  for (const colour of COLOURS)
    markAll(`mark-${colour}`, () =>
      stretchesOf(
        marks.value.filter((mark) => mark.colour === colour && isShown()),
        lines.value,
        indexOf,
      ),
    )
  markAll('note', () =>
    stretchesOf(
      marks.value.filter(({ kind }) => kind === 'note' && isShown()),
      lines.value,
      indexOf,
    ),
  )
  markAll('doubtful', () =>
    preferences.doubts && isShown()
      ? allDoubts(lines.value).map(({ index, from, to }) => [index, from, to] as const)
      : [],
  )

  let bookmarked: Element[] = []
  watch(
    [marks, blocks],
    () => {
      for (const line of bookmarked) line.removeAttribute('data-bookmark')
      const found = marks.value
        .filter(({ kind }) => kind === 'bookmark')
        .map(({ first }) => lineElement(indexOf(first.line)))
      bookmarked = found.filter((line) => line !== null)
      for (const line of bookmarked) line.setAttribute('data-bookmark', '')
    },
    { flush: 'post', immediate: true },
  )

  /** Say of a doubtful word under the pointer how sure the model was. */
  function onPointerMove({ target, clientX, clientY, pointerType }: PointerEvent): void {
    const said = (target as Element).closest('p')
    if (!said || pointerType !== 'mouse') return
    const line = lines.value[indexOf(said.closest<HTMLElement>('[data-line]')?.dataset.line ?? '')]
    const offset = preferences.doubts && line ? offsetAt(clientX, clientY) : undefined
    const doubt =
      offset === undefined ? undefined : doubtsOf(line!).find(({ from, to }) => from <= offset && offset < to)
    const why = doubt && wordAt(line!, doubt.from) ? t('doubtful_why', { p: doubt.probability.toFixed(2) }) : ''
    if (said.title !== why) said.title = why
  }
  onMounted(() => text.value?.addEventListener('pointermove', onPointerMove))
  onUnmounted(() => text.value?.removeEventListener('pointermove', onPointerMove))
}
