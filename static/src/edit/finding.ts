// Find in the text of one transcript: what is looked for, and where it is. What takes its place: replacing.ts.
import { computed, onUnmounted, ref, shallowRef, watch, type Ref } from 'vue'
import { request } from '../api.ts'
import type { Segment } from '../types.ts'
import type { Finder, Variants } from './find.ts'
import { isLongEnough, type Hit, type Phrase } from './hits.ts'
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
export const isReplaceable = ({ over, part }: Hit): boolean => !over && !part

export type Finding = ReturnType<typeof useFinding>

const NONE: Hit[] = []

/**
 * `reveal` shows a find. `first` is what is looked for at first. `speaksIn` says whether a speaker has words in
 * a line.
 */
export function useFinding(
  lines: Readonly<Ref<readonly Segment[]>>,
  session: Pick<Session, 'perform'>,
  reveal: (hit: Hit) => void,
  first = '',
  speaksIn: (index: number, speaker: string) => boolean = () => true,
) {
  const finder = shallowRef<Finder>() // loaded with the first search
  let loading: Promise<unknown> | undefined
  const load = () =>
    (loading ??= import('./find.ts').then(
      (found) => void (finder.value = new found.Finder()),
      () => (loading = undefined), // no network: the next key tries again
    ))
  const typed = ref(first)
  const phrase = ref(first) // what is looked for, a moment after it was typed
  const replacement = ref('')
  const matchCase = ref(false)
  const whole = ref(false)
  const scripts = ref(false) // simplified and traditional characters are equal
  const speaker = ref('') // by ID: only where this one speaks
  const hit = ref(0)
  const wanted = computed<Phrase>(() => ({ text: phrase.value, case: matchCase.value, whole: whole.value }))
  const found = computed(
    () => finder.value?.find(lines.value, wanted.value, scripts.value ? variants.value : undefined) ?? NONE,
  )
  const hits = computed(() =>
    speaker.value ? found.value.filter(({ segment }) => speaksIn(segment, speaker.value)) : found.value,
  )
  const replaceable = computed(() => hits.value.filter(isReplaceable))

  let timer: ReturnType<typeof setTimeout> | undefined
  watch(typed, (now) => {
    clearTimeout(timer)
    if (now) void load()
    timer = setTimeout(() => {
      phrase.value = now
    }, PAUSE_MS)
  })
  watch(scripts, (on) => on && void fetchVariants())
  function show(): void {
    const one = hits.value[hit.value]
    if (one) reveal(one)
  }
  watch(
    [wanted, scripts, speaker, finder],
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
  return {
    typed,
    phrase,
    replacement,
    lines,
    session,
    /** Of what is looked for at first it is known where it is. */
    ready: first ? load() : null,
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
  }
}
