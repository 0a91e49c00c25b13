// The editing of one transcript in this tab: what is typed is shown at once, stored in this browser, and sent.
import { computed, ref, shallowRef, watch, type ComputedRef, type Ref } from 'vue'
import { holdLogin } from '../api.ts'
import { explain } from '../i18n/problems.ts'
import { t } from '../i18n/index.ts'
import { notify } from '../notices.ts'
import type { ClientOperation, Problem, Segment } from '../types.ts'
import { baseOf, changedBy, newId, type Act, type Change } from './changes.ts'
import { decide, lastAuthor, useConflicts, type Choice, type Conflict } from './decisions.ts'
import { Delivery, type SaveState } from './delivery.ts'
import { Draft } from './draft.ts'
import { LineList } from './lines.ts'
import { Queue } from './queue.ts'
import { plan } from './rebase.ts'
import { recover, TAB } from './recovery.ts'
import { Steps, type Place, type Step } from './undo.ts'

export type { Conflict } from './decisions.ts'
export type { SaveState } from './delivery.ts'
export type { Place } from './undo.ts'

export interface Session {
  /**
   * What the service says, with everything on top that this tab changed. What is typed right now may come with a pause,
   * so that a key draws only its own line; but no older text of that line comes behind a newer one.
   */
  lines: ComputedRef<Segment[]>
  /** What is being typed into a line and may not be in `lines` yet. */
  typing: Ref<{ id: string; text: string } | null>
  /** The operations that the service does not have, in their order. */
  operations: ComputedRef<ClientOperation[]>
  state: ComputedRef<SaveState>
  /** How many changes the service does not have. */
  pending: Ref<number>
  /** How many changes of an earlier visit were found in this browser. */
  recovered: Ref<number>
  /** Lines that need a decision, by ID. */
  conflicts: ComputedRef<Record<string, Conflict>>
  /** Why the service does not take changes: the transcript was deleted, or a change is refused. */
  problem: ComputedRef<Problem | null>
  canUndo: Ref<boolean>
  canRedo: Ref<boolean>
  /** Set while an input method composes: nothing of the line that is typed into is sent or merged. */
  composing: Ref<boolean>
  /** The text of a line that is being edited, after each key. */
  type(id: string, text: string): void
  /**
   * Do one act: one edit and one step of undo. The session fills in the versions of lines. `before` and `after`: where
   * the caret stands after an undo and a redo. False: it cannot be done.
   */
  perform(operations: ClientOperation[], before?: Place | null, after?: Place | null): boolean
  /** The line is left: send what was typed. An empty line is deleted. */
  flush(): void
  undo(): Place | null
  redo(): Place | null
  resolve(id: string, choice: Choice): void
  /** The line that has the text of a line now: another one if that was deleted while somebody typed in it. */
  idOf(id: string): string
  /** The texts that the service does not have, to be copied elsewhere. */
  unsaved(): string
  /** Give up the changes that the service refuses. */
  discard(): void
  /** The page is left. What is not saved yet is sent still. */
  close(): void
}

const MOST_BYTES = 950_000 // of the operations of one request: the service takes 1 MB
const MOST_OPERATIONS = 5_000 // as the service takes them

interface OpenSession extends Session {
  left: boolean
  shown: boolean // on a page. Else it only sends what tabs that are gone have left
  taken: Promise<void> // that is taken over
  holds(): boolean
}
const sessions = new Map<string, OpenSession>()

/** The session of a transcript. There is one for each in a tab; it lives until nothing is to be sent. */
export function openSession(job: string): Session {
  const session = sessions.get(job) ?? start(job)
  session.left = false
  session.shown = true
  sessions.set(job, session)
  return session
}

/**
 * Send what tabs that are gone have left of a transcript that no page of this tab shows. The store has its text. Returns how
 * many changes were found. 0: none, or its page was opened meanwhile and tells it.
 */
export async function restore(job: string): Promise<number> {
  if (sessions.has(job)) return 0
  const session = start(job)
  sessions.set(job, session)
  await session.taken
  if (session.shown) return 0
  const found = session.recovered.value
  session.close()
  return found
}

// An ended login does not lead away from a transcript of which something is not saved, nor from changes that only this
// tab has.
holdLogin(() => [...sessions.values()].some((session) => session.holds()))

function start(job: string): OpenSession {
  const queue = new Queue(job)
  const steps = new Steps(job)
  const recovered = ref(0)
  const canUndo = ref(false)
  const canRedo = ref(false)
  const composing = ref(false)
  const typing = shallowRef<{ id: string; text: string } | null>(null)
  const { conflicts, stop: stopConflicts } = useConflicts(queue)
  let order = Date.now()
  let ended = false

  const make = (acts: Act[]): Change => {
    return { batch: newId(), job, tab: TAB, order: ++order, open: false, acts, tried: false }
  }
  const draft = new Draft(queue, make, ({ batch, before, after, goesOn }) => {
    if (goesOn && steps.done.at(-1)?.typed) steps.extend(batch, after)
    else steps.add({ batches: [batch], before, after, typed: true })
    queue.refresh()
    update()
  })
  const delivery = new Delivery(queue, {
    vanish: (ids) => draft.remember(ids),
    made: (batch, number) => steps.tell(batch, number),
    refused: (change, problem) => void tellRefused(change, problem),
    empty: forget,
    changed: update,
  })

  function update(): void {
    canUndo.value = steps.done.length > 0 || draft.open
    canRedo.value = steps.undone.length > 0
    if (session.left && !queue.pending.value) return end()
    delivery.wake()
  }
  function forget(batch: string): void {
    steps.forget(batch)
    queue.remove(batch)
  }
  async function tellRefused({ batch, undoes }: Change, { code, params, ...problem }: Problem): Promise<void> {
    forget(batch)
    update()
    if (code !== 'edit_conflict') return notify(explain({ code, params, ...problem }).what)
    const { author } = await lastAuthor(job, (params?.ids ?? []) as string[])
    notify(t(undoes ? 'undo_blocked' : 'not_done', { name: author || t('someone') }))
  }

  function perform(operations: ClientOperation[], before: Place | null = null, after = before): boolean {
    const typed = draft.line
    const seen = typed === null ? null : baseOf(new LineList(queue.view.value.lines), typed)
    draft.close()
    const { lines, clashes } = queue.view.value
    const undecided = operations
      .flatMap((one) => (one.op === 'text' ? [] : changedBy(one)))
      .some((id) => clashes.has(id))
    const acts = undecided ? null : plan(lines, operations)
    if (!acts) return false
    // The operations may have been made before the newest keys were in `lines`: then those are merged.
    const first = acts.find(({ operation }) => 'id' in operation && operation.id === typed)
    if (seen && first?.operation.op === 'text') first.base = seen
    const changes = parts(acts).map(make)
    steps.add({ batches: changes.map(({ batch }) => batch), before, after })
    queue.add(...changes)
    update()
    return true
  }
  /** Take the newest step of `from` back. A change that was never made is forgotten. */
  function takeBack(from: () => Step[], to: () => Step[]): Step | null {
    draft.close()
    const step = from().pop()
    if (!step) return null
    const batches: string[] = []
    for (const undoes of [...step.batches].reverse()) {
      if (queue.isHeld(undoes)) {
        queue.remove(undoes)
        continue
      }
      const change: Change = { ...make([]), undoes }
      const number = steps.number(undoes)
      if (number !== undefined) change.number = number
      batches.push(change.batch)
      queue.add(change)
    }
    if (batches.length) to().push({ ...step, batches, typed: false })
    steps.save()
    update()
    return step
  }
  const done = () => steps.done
  const undone = () => steps.undone

  /** Take over what tabs that are gone have left. */
  async function takeOver(): Promise<void> {
    if (ended) return
    const changes = await recover(job, () => void takeOver())
    if (changes === null) queue.memory.value = true
    if (!changes?.length) return
    queue.changes.unshift(...changes)
    queue.refresh()
    const counted = () => {
      const news = changes.filter(({ batch }) => {
        const rebased = queue.view.value.changes.get(batch)
        return rebased && rebased.ready.length + rebased.held.length > 0
      })
      recovered.value += news.length
      update()
    }
    if (queue.loaded) counted()
    else {
      const stop = watch(queue.view, () => {
        if (!queue.loaded) return
        stop()
        counted()
      })
    }
  }

  function onVisibility(): void {
    if (document.hidden) draft.closeIfFull()
    else wakeUp()
  }
  function wakeUp(): void {
    delivery.wake(true)
    void takeOver()
  }
  function onPageHide(): void {
    draft.closeIfFull()
    delivery.last()
  }
  function onBeforeUnload(event: BeforeUnloadEvent): void {
    if (queue.memory.value && queue.pending.value) event.preventDefault()
  }
  document.addEventListener('visibilitychange', onVisibility)
  const stopComposing = watch(
    composing,
    (now) => {
      queue.composing = now ? (draft.line ?? '') : null
      queue.refresh()
      if (!now && draft.open) draft.wait()
    },
    { flush: 'sync' },
  )
  const stopTyping = watch(queue.view, () => draft.open || (typing.value = null), { flush: 'sync' })
  addEventListener('pagehide', onPageHide)
  addEventListener('online', wakeUp)
  addEventListener('focus', wakeUp)
  addEventListener('beforeunload', onBeforeUnload)
  function end(): void {
    ended = true
    delivery.stop()
    stopConflicts()
    stopComposing()
    stopTyping()
    document.removeEventListener('visibilitychange', onVisibility)
    removeEventListener('pagehide', onPageHide)
    removeEventListener('online', wakeUp)
    removeEventListener('focus', wakeUp)
    removeEventListener('beforeunload', onBeforeUnload)
    sessions.delete(job)
  }

  const session = {
    left: false,
    shown: false,
    taken: Promise.resolve(),
    holds: () => queue.pending.value > 0 && (!session.left || queue.memory.value),
    lines: computed(() => queue.view.value.lines),
    typing,
    operations: computed(() =>
      [...queue.view.value.changes.values()].flatMap(({ ready }) => ready.map(({ operation }) => operation)),
    ),
    state: delivery.state,
    pending: queue.pending,
    recovered,
    conflicts,
    problem: delivery.problem,
    canUndo,
    canRedo,
    composing,
    type(id: string, text: string) {
      typing.value = { id: session.idOf(id), text }
      draft.type(typing.value.id, text)
      if (queue.composing !== null) queue.composing = draft.line ?? ''
      canUndo.value = true
    },
    perform,
    flush: () => draft.close(),
    undo: () => takeBack(done, undone)?.before ?? null,
    redo: () => takeBack(undone, done)?.after ?? null,
    resolve(id: string, choice: Choice) {
      draft.close()
      const keep = (act: Act) => queue.add(make([act]))
      for (const batch of decide(queue, id, choice, perform, keep)) steps.forget(batch)
      update()
    },
    idOf: (id: string) => queue.moved.get(id) ?? queue.view.value.moved.get(id) ?? id,
    unsaved: () =>
      queue.changes
        .flatMap(({ acts }) => acts.map(({ operation }) => ('text' in operation ? operation.text : '')))
        .filter(Boolean)
        .join('\n'),
    discard() {
      for (const { batch } of queue.changes.filter(({ problem }) => problem)) forget(batch)
      update()
    },
    close() {
      draft.close()
      session.left = true
      update()
    },
  }
  queue.refresh()
  update()
  session.taken = takeOver()
  return session
}

const utf8 = new TextEncoder()

/** Acts in as few changes as the service takes them. */
function parts(acts: Act[]): Act[][] {
  const found: Act[][] = []
  let size = Infinity
  for (const act of acts) {
    const more = utf8.encode(JSON.stringify(act.operation)).length + 1
    if (size + more > MOST_BYTES || found.at(-1)!.length >= MOST_OPERATIONS) {
      found.push([])
      size = 0
    }
    found.at(-1)!.push(act)
    size += more
  }
  return found
}
