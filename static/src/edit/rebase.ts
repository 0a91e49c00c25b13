// Puts the changes of this tab on top of what the service says. Pure: the same changes on the same lines give the same.
// Somebody else may have changed the lines meanwhile. Then texts are merged word by word, or a person must choose.
import type { ClientOperation, Segment } from '../types.ts'
import { apply, clean, perform, wayBack, withText, type Operation } from './apply.ts'
import { baseOf, changedBy, lineAt, madeBy, type Act, type Base, type Change } from './changes.ts'
import { LineList, type Line } from './lines.ts'
import { mergeTexts } from './merge.ts'

/** Two texts of a line of which a person must choose one. `gone`: the line was deleted, and `mine` is a line of its own. */
export interface Clash {
  mine: string
  theirs: string
  gone: boolean
}
/** What a change does to the lines as they are now. */
export interface Rebased {
  ready: Act[]
  held: Act[] // they wait for a decision about their line
}
export interface View {
  lines: Line[]
  changes: Map<string, Rebased> // by batch
  clashes: Map<string, Clash> // by line
  moved: Map<string, string> // lines that are gone, and the new lines that have what was typed into them
}
/** By batch: what undoes it. Folds fill it. */
export type Inverses = Map<string, Operation[]>

/** A character that nobody types: it marks a place in a text while that text is merged. */
const PLACE = '\ue000'

/** Lines with all changes, in order. A text that is typed into `composing` is not merged: the input method has it. */
export function fold(said: readonly Segment[], changes: Change[], inverses: Inverses, composing: string | null): View {
  const lines = new LineList(said)
  const view: View = { lines: lines.items, changes: new Map(), clashes: new Map(), moved: new Map() }
  const held = new Set<string>()
  for (const change of changes) {
    lines.mark()
    if (change.undoes) (inverses.get(change.undoes) ?? []).every((operation) => attempt(lines, operation))
    view.changes.set(change.batch, foldActs(lines, change, view, held, composing))
    const back = wayBack(lines)
    if (back.length) inverses.set(change.batch, back)
  }
  return view
}

function foldActs(lines: LineList, change: Change, view: View, held: Set<string>, composing: string | null): Rebased {
  const result: Rebased = { ready: [], held: [] }
  change.acts.forEach((act, at) => {
    const now = new Adaption(lines, view, change, act, `${change.batch}.${at}`, composing)
    const adapted = now.operation()
    if (!adapted && !now.mine) return
    const names = changedBy(act.operation).map((id) => view.moved.get(id) ?? id)
    const waits = Boolean(change.problem || now.mine) || names.some((id) => held.has(id))
    if (!waits) result.ready.push({ operation: adapted!, base: baseOf(lines, adapted!) })
    if (adapted) attempt(lines, adapted)
    else lines.put(now.mine!)
    if (!waits) return
    result.held.push(act)
    for (const id of [...names, ...madeBy(act.operation)]) held.add(id)
    const clash = view.clashes.get(names[0] ?? '')
    if (clash && act.operation.op === 'text') clash.mine = clean(act.operation.text) // the newest of several
  })
  return result
}

/** Do an operation if it can be done. If not, it is not shown, and the service says why. */
function attempt(lines: LineList, operation: Operation): boolean {
  try {
    perform(lines, operation)
    return true
  } catch {
    return false
  }
}

/** What one operation means for the lines as they are now. */
class Adaption {
  /** The line with the text of this person, where that cannot be merged. */
  mine: Line | null = null

  constructor(
    readonly lines: LineList,
    readonly view: View,
    readonly change: Change,
    readonly act: Act,
    readonly spare: string, // the ID of a line that is made if the line of the operation is gone
    readonly composing: string | null,
  ) {}

  /** Null: there is nothing to do, or only `mine` to show. */
  operation(): ClientOperation | null {
    const { lines } = this
    const { operation, base } = this.act
    switch (operation.op) {
      case 'text':
        return this.#text(operation, base)
      case 'split': {
        const line = lines.get(operation.id)
        const at = line && !lines.get(operation.new) ? placeIn(line.text, operation.at, base) : null
        return at === null ? null : { ...operation, v: line!.version, at }
      }
      case 'merge': {
        const found = operation.ids.flatMap((id) => lines.get(id) ?? [])
        if (found.length < 2 || found[0]!.id !== operation.ids[0]) return null
        return { ...operation, ids: found.map(({ id }) => id), v: found.map(({ version }) => version) }
      }
      case 'delete': {
        const line = lines.get(operation.id)
        return line && (!base || base.text === line.text) ? { ...operation, v: line.version } : null
      }
      case 'insert':
        if (lines.get(operation.new)) return null
        if (operation.after === null || lines.get(operation.after)) return operation
        return { ...operation, after: lineAt(lines.items, operation.start)?.id ?? null }
      case 'time': {
        const line = lines.get(operation.id)
        return line ? { ...operation, v: line.version } : null
      }
      case 'speaker':
      case 'check': {
        const ids = operation.ids.filter((id) => lines.get(id))
        return ids.length ? { ...operation, ids } : null
      }
      default:
        return operation
    }
  }

  #text(operation: Extract<ClientOperation, { op: 'text' }>, base: Base | null): ClientOperation | null {
    const { lines, view, change } = this
    const id = view.moved.get(operation.id) ?? operation.id
    const line = lines.get(id)
    const text = clean(operation.text)
    if (!line) return base && text ? this.#asNew(text, base, operation.id) : null
    if (text === line.text.trim()) return null
    const same = { ...operation, id, v: line.version, text }
    if (!base || base.text === line.text) return same
    if (!text) return null // somebody wrote into the line that was to go
    const merged =
      change.tried || (change.open && this.composing === id) ? null : mergeTexts(base.text, text, line.text)
    if (merged !== null) return { ...same, text: merged }
    this.mine = withText(lines, line, text)
    const certain = !change.tried && this.composing !== id
    if (certain) view.clashes.set(id, { mine: text, theirs: line.text, gone: false })
    return null
  }

  /** What was typed into a line that is gone, as a new line where that one was. */
  #asNew(text: string, base: Base, old: string): ClientOperation | null {
    const { lines, view, spare } = this
    view.moved.set(old, spare)
    if (lines.get(spare)) return null
    if (!this.change.tried) view.clashes.set(spare, { mine: text, theirs: '', gone: true })
    const before = (base.before !== null && lines.get(base.before)) || lineAt(lines.items, base.start)
    const behind = before ? lines.neighbour(before, 1) : lines.items[0]
    const start = Math.min(Math.max(base.start, before?.start ?? 0), behind?.start ?? Infinity)
    return { op: 'insert', after: before?.id ?? null, new: spare, start, end: Math.max(base.end, start + 0.1), text }
  }
}

/** Where a cut of `base` is in a text that somebody changed meanwhile, in code points. Null: that place is gone. */
function placeIn(text: string, at: number, base: Base | null): number | null {
  if (!base || base.text === text) return at
  const points = [...base.text]
  const marked = points.slice(0, at).join('') + PLACE + points.slice(at).join('')
  const merged = mergeTexts(base.text, marked, text)
  return merged === null ? null : [...merged].indexOf(PLACE)
}

/** Operations as acts on these lines, with the versions that the lines have. Null: they cannot be done. */
export function plan(said: readonly Segment[], operations: ClientOperation[]): Act[] | null {
  const lines = new LineList(said)
  const acts = operations.map((given) => {
    const version = (id: string) => lines.get(id)?.version ?? -1
    let operation = given
    if (operation.op === 'merge') operation = { ...operation, v: operation.ids.map(version) }
    else if ('v' in operation) operation = { ...operation, v: version(operation.id) }
    const act = { operation, base: baseOf(lines, operation) }
    attempt(lines, operation)
    return act
  })
  try {
    apply(
      new LineList(said),
      acts.map(({ operation }) => operation),
    )
    return acts
  } catch {
    return null
  }
}
