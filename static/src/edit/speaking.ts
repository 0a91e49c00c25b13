// The speakers of the transcript that a page shows: who they are, and whose each line is.
import { computed, inject, provide, ref, shallowRef, type ComputedRef, type InjectionKey, type Ref } from 'vue'
import { t } from '../i18n/index.ts'
import { state } from '../store.ts'
import { lineId } from '../transcript_text.ts'
import type { Problem, Segment, Timeline } from '../types.ts'
import { newId } from './changes.ts'
import type { Session } from './session.ts'
import {
  afterOperations,
  COLOURS,
  initialOf,
  isChange,
  resolver,
  shownSpeakers,
  turnOffsets,
  turnsOf,
  type Face,
  type Head,
  type Resolve,
  type Speaker,
  type Turn,
} from './speakers.ts'

/** What people change about speakers: speaker_acts.ts. */
export interface Speaking {
  session: Session
  speakers: ComputedRef<readonly Speaker[]> // all, with those that were merged into another
  byId: ComputedRef<Map<string, Face>>
  resolve: ComputedRef<Resolve>
  turns: ComputedRef<Turn[][]> // of each line
  faces: ComputedRef<Face[]> // those that are shown, in their order
  heads: ComputedRef<(Head | null)[]> // of each line; null: the one who spoke before goes on
  automatic: ComputedRef<boolean> // speakers were told apart by their voices
  counting: Ref<boolean>
  problem: Ref<Problem | null> // of the last count
  picking: Ref<{ line: string; at: DOMRect } | null> // the line whose speaker is being chosen, and where on the screen
  /** Ask for the speaker of a line, at a place on the screen, else at the line. */
  pick(line: string, at?: DOMRect): void
  faceOf(line: string): Face | null
  /** Whether a speaker has words in a line, which is given by its place. */
  speaksIn(index: number, speaker: string): boolean
  /** How many speakers follow each other in a line. */
  turnsIn(line: string): number
  assign(lines: string[], speaker: string | null): void
  /** Give lines the speaker with a number, from 1 on; 0: none. Speakers up to it are made. */
  press(lines: string[], number: number): void
}

const NONE: Timeline = []
const NOBODY: readonly Speaker[] = []
export function openSpeaking(id: string, session: Session): Speaking {
  const { lines, operations, perform } = session
  const known = computed(() => state.value.speakers[id])
  const timeline = computed(() => known.value?.timeline ?? NONE)
  const speakers = computed(() => afterOperations(known.value?.speakers ?? NOBODY, operations.value))
  const resolve = computed<Resolve>(() => resolver(speakers.value))
  const faces = computed(() => shownSpeakers(speakers.value).map(toFace))
  const byId = computed(() => new Map(speakers.value.map((one) => [one.id, toFace(one)])))

  // The turns of a line are looked for once, until the speakers or the timeline change.
  const cache = computed(() => [timeline.value, resolve.value, new WeakMap<Segment, Turn[]>()] as const)
  const turns = computed(() => {
    const [now, resolved, found] = cache.value
    return lines.value.map((line) => {
      let known = found.get(line)
      if (!known) found.set(line, (known = turnsOf(line, now, resolved)))
      return known
    })
  })
  /** A recording of one person, whom nobody named, is shown as if nobody had asked. */
  const quiet = computed(() => {
    let only: string | undefined
    for (const each of turns.value)
      for (const [, who] of each) {
        if (only !== undefined && who !== only) return false
        only = who
      }
    const face = only === undefined ? undefined : byId.value.get(only)
    return only === undefined || (face?.found === true && !face.named)
  })
  const drawn = computed(() => [byId.value, cache.value, new WeakMap<Segment, Head>()] as const)
  const heads = computed(() => {
    const [, , made] = drawn.value
    return lines.value.map((line, at) => {
      if (quiet.value || !isChange(turns.value, at)) return null
      let head = made.get(line)
      if (!head) made.set(line, (head = headOf(line, turns.value[at]!)))
      return head
    })
  })
  function headOf(line: Segment, own: readonly Turn[]): Head {
    const ids = [...new Set(own.map(([, who]) => who))]
    const here = ids.map((who) => byId.value.get(who) ?? stranger(who))
    const text = line.text.trim()
    const offsets = own.length > 1 ? turnOffsets(text, line.words, own) : []
    const parts = offsets.flatMap((from, nth) => {
      const face = ids.indexOf(own[nth]![1])
      return face ? [[from, offsets[nth + 1] ?? text.length, face] as const] : []
    })
    return { key: JSON.stringify([here, parts]), faces: here, parts }
  }
  const indexOf = (line: string): number => lines.value.findIndex((one) => lineId(one) === line)
  const faceOf = (line: string): Face | null => {
    const who = turns.value[indexOf(line)]?.[0]?.[1]
    return who === undefined ? null : (byId.value.get(who) ?? stranger(who))
  }

  const counting = ref(false)
  const problem = ref<Problem | null>(null)
  const picking = shallowRef<{ line: string; at: DOMRect } | null>(null)

  function assign(ids: string[], speaker: string | null): void {
    if (ids.length) perform([{ op: 'speaker', ids, speaker }])
  }
  function press(ids: string[], number: number): void {
    if (!ids.length) return
    const there = speakers.value.find(({ position }) => position === number - 1)
    if (number === 0 || there) return assign(ids, there ? resolve.value(there.id) : null)
    const next = 1 + Math.max(-1, ...speakers.value.map(({ position }) => position))
    const made = Array.from({ length: Math.max(1, number - next) }, newId)
    perform([
      ...made.map((one) => ({ op: 'name_speaker', id: one, name: '' }) as const),
      { op: 'speaker', ids, speaker: made.at(-1)! },
    ])
  }
  return {
    session,
    speakers,
    byId,
    resolve,
    turns,
    faces,
    heads,
    automatic: computed(() => timeline.value.length > 0),
    counting,
    problem,
    picking,
    pick(line, at = lineBox(line)) {
      if (at) picking.value = { line, at }
    },
    faceOf,
    speaksIn: (index, speaker) => turns.value[index]?.some(([, who]) => who === speaker) ?? false,
    turnsIn: (line) => turns.value[indexOf(line)]?.length ?? 0,
    assign,
    press,
  }
}

/** Where a line is on the screen, or the subtitle that it is in. */
function lineBox(line: string): DOMRect | undefined {
  const id = CSS.escape(line)
  return document.querySelector(`[data-line="${id}"], [data-lines~="${id}"]`)?.getBoundingClientRect()
}

export function toFace({ id, name, position, colour, found }: Speaker): Face {
  const number = position + 1
  return {
    id,
    name: name || t('speaker_n', { n: number }),
    number,
    initial: initialOf(name, number),
    slot: colour % COLOURS,
    found,
    named: name !== '',
  }
}

/** Of a client that named a speaker of a line and made none. */
const stranger = (id: string): Face => ({
  ...{ id, name: id, number: 0, initial: initialOf(id, 0), slot: 0, found: false, named: true },
})

const KEY: InjectionKey<Speaking> = Symbol('speaking')

export const provideSpeaking = (speaking: Speaking): void => provide(KEY, speaking)

/** The speakers of the page that a component is part of. */
export const useSpeaking = (): Speaking => inject(KEY)!
