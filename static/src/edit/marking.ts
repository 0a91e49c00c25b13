// The marks of the transcript that is read: bookmarks, highlights and notes, as the service says them, with what this tab
// changed on top.
import { computed, ref, shallowRef, watch, type ComputedRef } from 'vue'
import { state } from '../store.ts'
import { lineId } from '../transcript_text.ts'
import type { Mark, Segment } from '../types.ts'
import { newId } from './changes.ts'
import { withOperations, type Anchor } from './mark_places.ts'
import type { follow, MarkedLine } from './marks.ts'
import type { Session } from './session.ts'

export const COLOURS = [1, 2, 3, 4, 5] as const
/** The note that is to be written now: the list of notes puts the caret into it. */
export const freshNote = ref('')
export type MarkKind = Mark['kind']

/** The part of the page's state that marks are made of. */
export interface Marked {
  id: string // of the job
  lines: ComputedRef<Segment[]>
  session: Session
}
export interface Marking {
  /** All marks, in the order of the text. */
  marks: ComputedRef<Mark[]>
  indexOf(line: string): number
  make(kind: MarkKind, first: Anchor, last: Anchor, more?: { colour?: number; text?: string }): string
  change(id: string, more: { colour?: number; text?: string }): void
  remove(...ids: string[]): void
  /** Set a bookmark on a line, or take it away. True: it is there now. */
  bookmark(line: string): boolean
}

const known = new WeakMap<Session, Marking>()

export function useMarking(page: Marked): Marking {
  const marking = known.get(page.session) ?? start(page)
  known.set(page.session, marking)
  return marking
}

const asMarked = new WeakMap<Segment, MarkedLine>()
function markedLine(segment: Segment): MarkedLine {
  const found = asMarked.get(segment) ?? { id: lineId(segment), text: segment.text }
  asMarked.set(segment, found)
  return found
}
const NONE: never[] = []
/** How marks hold on to their words. It is loaded with the first mark. */
const following = shallowRef<typeof follow>()

function start({ id, lines, session }: Marked): Marking {
  const places = computed(() => new Map(lines.value.map((line, index) => [lineId(line), index])))
  const indexOf = (line: string): number => places.value.get(line) ?? -1
  const order = ({ first }: Mark): number => indexOf(first.line) * 10_000 + first.at

  watch(
    () => (state.value.marks[id] ?? NONE).length > 0,
    async (any) => {
      if (any) following.value ??= (await import('./marks.ts')).follow
    },
    { immediate: true },
  )
  const marks = computed(() => {
    const said = state.value.marks[id] ?? NONE
    const before = state.value.texts[id] ?? NONE
    const now =
      following.value && said.length && before !== lines.value
        ? following.value(said, before.map(markedLine), lines.value.map(markedLine))
        : [...said]
    return withOperations(now, session.operations.value).sort((one, other) => order(one) - order(other))
  })
  return {
    marks,
    indexOf,
    make(kind, first, last, more = {}) {
      const made = newId()
      session.perform([{ op: 'mark', id: made, kind, first, last, colour: 1, text: '', ...more }])
      return made
    },
    change(mark, more) {
      session.perform([{ op: 'change_mark', id: mark, ...more }])
    },
    remove(...ids) {
      session.perform([{ op: 'unmark', ids }])
    },
    bookmark(line) {
      const there = marks.value.filter(({ kind, first }) => kind === 'bookmark' && first.line === line)
      if (there.length) this.remove(...there.map((mark) => mark.id))
      else this.make('bookmark', { line, at: 0 }, { line, at: 0 })
      return !there.length
    },
  }
}
