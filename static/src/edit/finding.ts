// Find and replace in the text of one transcript: what is looked for, where it is, and what takes its place.
import { computed, onUnmounted, ref, shallowRef, watch, type Ref } from 'vue'
import { request } from '../api.ts'
import { lineId } from '../transcript_text.ts'
import type { ClientOperation, Segment } from '../types.ts'
import { Finder, isLongEnough, withReplacement, type Hit, type Phrase, type Variants } from './find.ts'
import { MAX_CHARACTERS } from './line_editor.ts'
import type { Session } from './session.ts'

const PAUSE_MS = 120 // after a key

const variants = shallowRef<Variants>()
/** Fetch which characters are one in both Chinese scripts. The service knows them. */
export async function fetchVariants(): Promise<void> {
  if (variants.value) return
  const answer = await request<{ traditional: string; simplified: string }>('GET', '/api/characters')
  if (!answer.ok) return
  const simplified = [...answer.value.simplified]
  variants.value = new Map([...answer.value.traditional].map((one, at) => [one, simplified[at]!]))
}

/** A find that a replacement can take: in one line, and the whole phrase. */
const isReplaceable = ({ over, part }: Hit): boolean => !over && !part

export type Finding = ReturnType<typeof useFinding>

/**
 * `reveal` shows a line, by its place. `first` is what is looked for at first. `speaksIn` says whether a speaker has words in
 * a line.
 */
export function useFinding(
  lines: Readonly<Ref<readonly Segment[]>>,
  session: Pick<Session, 'perform'>,
  reveal: (index: number) => void,
  first = '',
  speaksIn: (index: number, speaker: string) => boolean = () => true,
) {
  const finder = new Finder()
  const typed = ref(first)
  const phrase = ref(first) // what is looked for, a moment after it was typed
  const replacement = ref('')
  const matchCase = ref(false)
  const whole = ref(false)
  const scripts = ref(false) // simplified and traditional characters are equal
  const speaker = ref('') // by ID: only where this one speaks
  const hit = ref(0)
  const wanted = computed<Phrase>(() => ({ text: phrase.value, case: matchCase.value, whole: whole.value }))
  const found = computed(() => finder.find(lines.value, wanted.value, scripts.value ? variants.value : undefined))
  const hits = computed(() =>
    speaker.value ? found.value.filter(({ segment }) => speaksIn(segment, speaker.value)) : found.value,
  )
  const replaceable = computed(() => hits.value.filter(isReplaceable))

  let timer: ReturnType<typeof setTimeout> | undefined
  watch(typed, (now) => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      phrase.value = now
    }, PAUSE_MS)
  })
  watch(scripts, (on) => on && void fetchVariants())
  function show(): void {
    const one = hits.value[hit.value]
    if (one) reveal(one.segment)
  }
  watch(
    [wanted, scripts, speaker],
    () => {
      hit.value = 0
      show()
    },
    { flush: 'post' },
  )
  watch(hits, ({ length }) => {
    if (hit.value >= length) hit.value = Math.max(0, length - 1) // a line was edited
  })
  onUnmounted(() => clearTimeout(timer))

  function step(by: number): void {
    if (!hits.value.length) return
    hit.value = (hit.value + by + hits.value.length) % hits.value.length
    show()
  }
  /** What a line becomes when these finds in it are replaced. */
  function operationFor(segment: number, found: readonly Hit[]): Extract<ClientOperation, { op: 'text' }> {
    const line = lines.value[segment]!
    const places = found.map(({ from, to }) => [from, to] as const)
    const text = withReplacement(line.text.trim(), places, replacement.value)
    return { op: 'text', id: lineId(line), v: line.version ?? 0, text }
  }
  /** Replace the chosen find and go to the next one. Null: it could not be replaced. */
  function replace(): number | null {
    const one = hits.value[hit.value]
    if (!one || !isReplaceable(one)) {
      step(1)
      return 0
    }
    const operation = operationFor(one.segment, [one])
    const end = one.from + replacement.value.length
    if (operation.text.length > MAX_CHARACTERS) return null
    const [before, after] = [one.from, end].map((offset) => ({ id: operation.id, offset }))
    if (!session.perform([operation], before, after)) return null
    const isGone = !operation.text.trim()
    const next = hits.value.findIndex(
      ({ segment, from }) => segment > one.segment || (segment === one.segment && (isGone || from >= end)),
    )
    hit.value = Math.max(0, next)
    show()
    return 1
  }
  /** Replace every find, in one act. Null: a line would become too long. */
  function replaceAll(): number | null {
    const found = new Map<number, Hit[]>()
    for (const one of replaceable.value) found.set(one.segment, [...(found.get(one.segment) ?? []), one])
    const operations = [...found].map(([segment, those]) => operationFor(segment, those))
    if (operations.some(({ text }) => text.length > MAX_CHARACTERS)) return null
    const count = replaceable.value.length
    if (!operations.length) return 0
    const at = { id: operations[0]!.id, offset: replaceable.value[0]!.from }
    return session.perform(operations, at, at) ? count : null
  }
  return {
    typed,
    phrase,
    replacement,
    matchCase,
    whole,
    scripts,
    speaker,
    hit,
    hits,
    replaceable,
    isActive: computed(() => isLongEnough(phrase.value)),
    step,
    show,
    replace,
    replaceAll,
  }
}
