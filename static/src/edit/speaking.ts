// The speakers of the transcript that a page shows: who they are, whose each line is, and what people change about them.
import { computed, inject, provide, ref, shallowRef, type ComputedRef, type InjectionKey, type Ref } from 'vue'
import { request } from '../api.ts'
import { t } from '../i18n/index.ts'
import { notify } from '../notices.ts'
import { fetchSpeakers, state } from '../store.ts'
import { lineId } from '../transcript_text.ts'
import type { Problem, Segment, SpeakerList } from '../types.ts'
import { newId } from './changes.ts'
import { characters } from './cutting.ts'
import type { Session } from './session.ts'
import {
  afterOperations,
  COLOURS,
  initialOf,
  isChange,
  resolver,
  shownSpeakers,
  tallies,
  turnOffsets,
  turnsOf,
  untilChange,
  type Face,
  type Head,
  type Resolve,
  type Speaker,
  type Tally,
  type Timeline,
  type Turn,
} from './speakers.ts'

/** To which lines a choice applies. `all`: wherever the speaker of the line speaks. */
export type Scope = 'line' | 'from' | 'all'

export interface Speaking {
  faces: ComputedRef<Face[]> // those that are shown, in their order
  merged: ComputedRef<{ face: Face; into: Face }[]>
  heads: ComputedRef<(Head | null)[]> // of each line; null: the one who spoke before goes on
  spoken: ComputedRef<Map<string, Tally>>
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
  /** Make a line of each turn of a line. */
  split(line: string): void
  assign(lines: string[], speaker: string | null): void
  choose(line: string, scope: Scope, speaker: string | null): void
  make(line: string, scope: Scope, name: string): void
  /** Give lines the speaker with a number, from 1 on; 0: none. Speakers up to it are made. */
  press(lines: string[], number: number): void
  rename(speaker: string, name: string): void
  merge(speaker: string, into: string | null): void
  remove(speaker: string): void
  add(name: string): void
  count(speakers: number | 'auto'): Promise<void>
}

const NONE: Timeline = []
const NOBODY: readonly Speaker[] = []
export function openSpeaking(id: string, { lines, operations, perform, undo }: Session): Speaking {
  const known = computed(() => state.value.speakers[id])
  const timeline = computed(() => known.value?.timeline ?? NONE)
  const speakers = computed(() => afterOperations(known.value?.speakers ?? NOBODY, operations.value))
  const resolve = computed<Resolve>(() => resolver(speakers.value))
  const faces = computed(() => shownSpeakers(speakers.value).map(toFace))
  const byId = computed(() => new Map(speakers.value.map((one) => [one.id, toFace(one)])))
  const merged = computed(() =>
    speakers.value.flatMap((one) => {
      const into = one.merged_into && byId.value.get(resolve.value(one.id))
      return into && into.id !== one.id ? [{ face: toFace(one), into }] : []
    }),
  )

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
  const spoken = computed(() => tallies(lines.value, turns.value))
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

  function linesOf(line: string, scope: 'line' | 'from'): string[] {
    const at = indexOf(line)
    if (at < 0) return []
    return lines.value.slice(at, scope === 'line' ? at + 1 : untilChange(turns.value, at)).map(lineId)
  }
  function assign(ids: string[], speaker: string | null): void {
    if (ids.length) perform([{ op: 'speaker', ids, speaker }])
  }
  function split(id: string): void {
    const at = indexOf(id)
    const line = lines.value[at]
    if (!line) return
    const [, ...cuts] = turnOffsets(line.text, line.words, turns.value[at]!) // from the last one on, so that places stay
    const version = line.version ?? 0
    const acts = cuts.reverse().map((cut, nth) => {
      const place = { at: characters(line.text.slice(0, cut)), new: newId() }
      return { op: 'split', id, v: version + nth, ...place } as const
    })
    if (acts.length) perform(acts)
  }
  function merge(speaker: string, into: string | null): void {
    const [from, to] = [byId.value.get(speaker), into && byId.value.get(into)]
    if (!from || speaker === into) return
    perform([{ op: 'join_speakers', id: speaker, into }])
    if (to) notify(t('speakers_merged', { name: from.name, into: to.name }), t('undo'), undo)
  }
  function choose(line: string, scope: Scope, speaker: string | null): void {
    const now = faceOf(line)
    if (scope !== 'all' || !now) return assign(linesOf(line, scope === 'all' ? 'line' : scope), speaker)
    if (speaker) return merge(now.id, speaker)
    const own = lines.value.filter((one) => one.speaker && resolve.value(one.speaker) === now.id)
    assign(own.map(lineId), null)
  }
  function make(line: string, scope: Scope, name: string): void {
    const now = faceOf(line)
    if (scope === 'all' && now) return rename(now.id, name)
    const made = newId()
    perform([
      { op: 'name_speaker', id: made, name },
      { op: 'speaker', ids: linesOf(line, scope === 'all' ? 'line' : scope), speaker: made },
    ])
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
  function rename(speaker: string, name: string): void {
    if (name.trim() !== speakers.value.find((one) => one.id === speaker)?.name)
      perform([{ op: 'name_speaker', id: speaker, name: name.trim() }])
  }
  function remove(speaker: string): void {
    const own = lines.value.filter((one) => one.speaker === speaker).map(lineId)
    const ofLines = own.length ? [{ op: 'speaker', ids: own, speaker: null } as const] : []
    perform([...ofLines, { op: 'remove_speaker', id: speaker }])
  }
  async function count(wanted: number | 'auto'): Promise<void> {
    counting.value = true
    const answer = await request<SpeakerList>('POST', `/api/jobs/${id}/speakers`, { speakers: wanted })
    problem.value = answer.ok ? null : answer.problem
    await fetchSpeakers(id)
    counting.value = false
  }

  return {
    faces,
    merged,
    heads,
    spoken,
    automatic: computed(() => timeline.value.length > 0),
    counting,
    problem,
    picking,
    pick(line, at = document.querySelector(`[data-line="${CSS.escape(line)}"]`)?.getBoundingClientRect()) {
      if (at) picking.value = { line, at }
    },
    faceOf,
    speaksIn: (index, speaker) => turns.value[index]?.some(([, who]) => who === speaker) ?? false,
    turnsIn: (line) => turns.value[indexOf(line)]?.length ?? 0,
    split,
    assign,
    choose,
    make,
    press,
    rename,
    merge,
    remove,
    add: (name) => void perform([{ op: 'name_speaker', id: newId(), name: name.trim() }]),
    count,
  }
}

function toFace({ id, name, position, colour, found }: Speaker): Face {
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
