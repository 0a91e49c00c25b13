// The editing of one transcript in this tab: what is typed is shown at once, stored in this browser, and sent.
// The rules of merging are in rebase.ts, the store in outbox.ts, the requests in posting.ts, undo in undo.ts.
import { computed, ref, type ComputedRef, type Ref } from 'vue'
import type { Message } from '../reducer.ts'
import { dispatch, fetchTranscript, listen, state as page } from '../store.ts'
import type { ClientOperation, EditResult, Problem, Segment } from '../types.ts'
import { clean } from './apply.ts'
import { baseOf, changedBy, newId, type Base, type Change } from './changes.ts'
import { LineList } from './lines.ts'
import { Postman, type Reply } from './posting.ts'
import { Queue } from './queue.ts'
import { fits, type Clash } from './rebase.ts'
import { Steps, type Place, type Step } from './undo.ts'

export type { Place } from './undo.ts'

/** A line that needs a decision. `gone`: it was deleted, and what was typed into it is a line of its own now. */
export interface Conflict extends Clash {
  author: string // '': nobody gave a name
  at: number | null // Unix seconds; null: not known yet
}
export type SaveState = 'saved' | 'saving' | 'unsent' | 'memory' | 'login'

export interface Session {
  /** What the service said, with everything on top that this tab changed. What is typed right now comes with a pause. */
  lines: ComputedRef<Segment[]>
  state: ComputedRef<SaveState>
  /** How many changes the service does not have. */
  pending: Ref<number>
  /** How many changes of an earlier visit were found in this browser. */
  recovered: Ref<number>
  /** Lines that need a decision, by ID. */
  conflicts: ComputedRef<Record<string, Conflict>>
  /** Why the service takes no changes: the transcript was deleted, or a change is refused. */
  problem: Ref<Problem | null>
  canUndo: Ref<boolean>
  canRedo: Ref<boolean>
  /** Set while an input method composes in the line that is edited: nothing of that line is sent or merged. */
  composing: Ref<boolean>
  /** The text of a line that is being edited, after each key. */
  type(id: string, text: string): void
  /** Do one act: one edit and one step of undo. `place`: the caret before it. False: it cannot be done. */
  perform(operations: ClientOperation[], place?: Place | null, after?: Place | null): boolean
  /** Send what was typed: the line is left. */
  flush(): void
  undo(): Place | null
  redo(): Place | null
  resolve(id: string, choice: 'mine' | 'theirs' | 'both'): void
  /** The ID of the line that has the text of a line now: another one if that was deleted while somebody typed in it. */
  idOf(id: string): string
  /** The page is left: no more changes come. Those that are there are sent still. */
  close(): void
}

const PAUSE_MS = 700 // without a key: then what was typed is sent
const STORE_MS = 200 // what was typed is stored this soon
const CATCH_UP_MS = 2_000 // this long the event of an edit may take; then the transcript is fetched

const sessions = new Map<string, Session>()
/** Who this tab is in the log of edits. */
export const TAB = newId()

/** The session of a transcript. There is one for each in a tab. */
export function openSession(job: string): Session {
  const known = sessions.get(job)
  if (known) return known
  const session = start(job)
  sessions.set(job, session)
  return session
}

function start(job: string): Session {
  const queue = new Queue(job)
  const steps = new Steps(job)
  const recovered = ref(0)
  const problem = ref<Problem | null>(null)
  const composing = ref(false)
  const canUndo = ref(false)
  const canRedo = ref(false)
  const reported = ref<Reply['kind']>('done')
  let open: Change | null = null
  let order = Date.now()
  let pause: ReturnType<typeof setTimeout> | undefined
  let storing: ReturnType<typeof setTimeout> | undefined

  const postman = new Postman(
    next,
    settle,
    (kind) => (reported.value = kind),
    () => '',
  )

  function makeChange(operations: ClientOperation[], bases: Record<string, Base>): Change {
    return { batch: newId(), job, tab: TAB, order: ++order, open: false, operations, bases, tried: false }
  }
  function update(): void {
    canUndo.value = steps.done.length > 0 || open !== null
    canRedo.value = steps.undone.length > 0
    postman.wake()
  }

  // What comes from the service
  function onMessage(message: Message): void {
    if (message.type === 'edit' && message.edit.job_id === job) {
      const { batch, number } = message.edit
      if (queue.find(batch)) acknowledge(batch, number)
      else queue.settle()
    } else if ((message.type === 'transcript' || message.type === 'segment') && message.id === job) queue.settle()
    else if (message.type === 'connection' && message.connection === 'live') postman.wake(true)
    else return
    update()
  }
  function acknowledge(batch: string, number: number): void {
    steps.tell(batch, number)
    queue.acknowledge(batch, number)
  }

  // What goes to the service
  function next(): Change | null {
    const [change] = queue.sendable(forget)
    if (change) change.tried = true
    return change ?? null
  }
  function forget(batch: string): void {
    steps.forget(batch)
    queue.remove([batch])
    queue.refresh()
  }
  async function settle(change: Change, reply: Reply): Promise<void> {
    if (reply.kind === 'done') take(change, reply.result)
    else if (reply.kind === 'conflict') await refuse(change, reply.problem)
    else if ('problem' in reply) {
      change.problem = problem.value = reply.problem
      void queue.keep([change])
      queue.refresh()
    }
    update()
  }
  function take({ batch }: Change, edit: EditResult): void {
    const has = queue.edits ?? 0
    if (edit.number === has + 1) dispatch({ type: 'edit', seq: page.value.seq, edit })
    if (!queue.find(batch)) return
    acknowledge(batch, edit.number)
    setTimeout(() => {
      if ((queue.edits ?? 0) < edit.number) void fetchTranscript(job)
    }, CATCH_UP_MS)
  }
  async function refuse(change: Change, { params }: Problem): Promise<void> {
    if (change.undoes) {
      forget(change.batch)
      return
    }
    change.tried = false
    const number = Number(params?.number ?? 0)
    if ((queue.edits ?? 0) < number) await caughtUp(number)
    queue.refresh()
  }
  async function caughtUp(number: number): Promise<void> {
    const end = Date.now() + CATCH_UP_MS
    while ((queue.edits ?? 0) < number && Date.now() < end) await new Promise((done) => setTimeout(done, 50))
    if ((queue.edits ?? 0) < number) await fetchTranscript(job)
  }

  // What the person does
  function begin(id: string): Change | null {
    const lines = new LineList(queue.view.value.lines)
    const line = lines.get(id)
    if (!line) return null
    const change = makeChange([{ op: 'text', id, v: line.version, text: line.text }], { [id]: baseOf(lines, line) })
    change.open = true
    return change
  }
  function type(given: string, text: string): void {
    const id = idOf(given)
    if (open && open.operations[0]!.op === 'text' && open.operations[0]!.id !== id) closeDraft()
    if (!open) {
      open = begin(id)
      if (!open) return
      queue.changes.push(open)
    }
    Object.assign(open.operations[0]!, { text })
    storing ??= setTimeout(() => {
      storing = undefined
      if (open) void queue.keep([open])
    }, STORE_MS)
    wait()
    queue.count()
    canUndo.value = true
  }
  function wait(): void {
    clearTimeout(pause)
    pause = setTimeout(() => {
      const isEmpty = open?.operations.some((operation) => operation.op === 'text' && !operation.text.trim())
      if (!isEmpty) closeDraft() // an empty line is deleted only when it is left
    }, PAUSE_MS)
  }
  /** What was typed becomes a change that is sent. */
  function closeDraft(): void {
    clearTimeout(pause)
    if (!open || composing.value) return
    const change = open
    open = null
    change.open = false
    const [operation] = change.operations as [Extract<ClientOperation, { op: 'text' }>]
    const { text: before } = change.bases[operation.id]!
    if (clean(operation.text) === before.trim()) queue.remove([change.batch])
    else {
      void queue.keep([change])
      addStep(change.batch, ...placesOf(operation.id, before, operation.text))
    }
    queue.refresh()
    update()
  }
  function addStep(batch: string, before: Place | null, after: Place | null): void {
    steps.add({ batches: [batch], before, after })
  }
  function perform(operations: ClientOperation[], before: Place | null = null, after = before): boolean {
    closeDraft()
    if (!fits(queue.view.value.lines, operations)) return false
    const lines = new LineList(queue.view.value.lines)
    const named = operations.flatMap(changedBy).flatMap((id) => lines.get(id) ?? [])
    const change = makeChange(operations, Object.fromEntries(named.map((line) => [line.id, baseOf(lines, line)])))
    steps.add({ batches: [change.batch], before, after })
    queue.add(change)
    update()
    return true
  }
  function back(from: Step[], to: Step[]): Step | null {
    closeDraft()
    const step = from.pop()
    if (!step) return null
    const batches = [...step.batches].reverse().map((undoes) => {
      const number = steps.number(undoes)
      const change: Change = { ...makeChange([], {}), undoes, ...(number === undefined ? {} : { number }) }
      queue.add(change)
      return change.batch
    })
    to.push({ ...step, batches })
    steps.save()
    update()
    return step
  }
  const idOf = (id: string): string => queue.moved.get(id) ?? queue.view.value.moved.get(id) ?? id

  const stop = listen(onMessage)
  queue.refresh()
  update()

  const session: Session = {
    lines: computed(() => queue.view.value.lines),
    state: computed(() => {
      if (!queue.pending.value) return 'saved'
      if (reported.value === 'unauthorized') return 'login'
      if (queue.memory.value) return 'memory'
      return reported.value === 'later' ? 'unsent' : 'saving'
    }),
    pending: queue.pending,
    recovered,
    conflicts: computed(() =>
      Object.fromEntries([...queue.view.value.clashes].map(([id, clash]) => [id, { ...clash, author: '', at: null }])),
    ),
    problem,
    canUndo,
    canRedo,
    composing,
    type,
    perform,
    flush: closeDraft,
    undo: () => back(steps.done, steps.undone)?.before ?? null,
    redo: () => back(steps.undone, steps.done)?.after ?? null,
    resolve: () => undefined,
    idOf,
    close() {
      closeDraft()
      stop()
      sessions.delete(job)
    },
  }
  return session
}

/** Where the caret stands after a text was taken back, and after it was written again: behind what changed. */
function placesOf(id: string, before: string, after: string): [Place, Place] {
  let same = 0
  const shorter = Math.min(before.length, after.length)
  while (same < shorter && before.at(-1 - same) === after.at(-1 - same)) same += 1
  return [
    { id, offset: before.length - same },
    { id, offset: after.length - same },
  ]
}
