// Puts the changes of this tab on top of what the service says. Pure: the same changes on the same lines give the same.
// Somebody else may have changed the lines meanwhile. Then texts are merged word by word, or a person must choose.
import type { ClientOperation, Segment } from '../types.ts'
import { checkChanged, clean, perform, wayBack, withText, type Operation } from './apply.ts'
import { baseOf, changedBy, lineAt, type Act, type Base, type Change } from './changes.ts'
import { LineList, type Line } from './lines.ts'
import { mergeTexts } from './merge.ts'
import { joint } from './words.ts'

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
/** How long a new line is at least, in seconds. */
export const LEAST_S = 0.1

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
    if (!waits) result.ready.push({ operation: adapted!, base: startOf(lines, adapted!) })
    // A line that needs a decision stays before the eyes: it is not cut, joined or deleted before.
    if (adapted && (!waits || adapted.op === 'text')) attempt(lines, adapted)
    else if (now.mine) lines.put(now.mine)
    if (!waits) return
    result.held.push(act)
    for (const id of names) held.add(id)
    const clash = view.clashes.get(names[0] ?? '')
    if (clash && !clash.gone) clash.mine = lines.get(names[0]!)?.text ?? clash.mine // the newest of several
  })
  return result
}

const startOf = (lines: LineList, operation: ClientOperation): Base | null =>
  'id' in operation ? baseOf(lines, operation.id) : null

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
      case 'insert': {
        if (lines.get(operation.new)) return null
        const after =
          operation.after === null ? null : (lines.get(operation.after) ?? lineAt(lines.items, operation.start))
        return { ...operation, ...this.#placeBehind(after, operation) }
      }
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
    const untouched = change.tried || (change.open && this.composing === id)
    const merged = untouched ? null : mergeTexts(base.text, text, line.text)
    if (merged !== null) return { ...same, text: merged }
    // Already in need of a decision, and typed for a line that was cut or joined since: both texts are kept.
    if (view.clashes.has(id)) return { ...same, text: line.text + joint(line.text, text) + text }
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
    return { op: 'insert', new: spare, text, ...this.#placeBehind(before, base) }
  }

  /** Where and when a new line behind another one can be: as given, but between the starts of both neighbours. */
  #placeBehind(line: Line | null | undefined, { start, end }: { start: number; end: number }) {
    let before = line ?? undefined
    let behind = before ? this.lines.neighbour(before, 1) : this.lines.items[0]
    while (before && behind && behind.start < before.start) {
      before = behind
      behind = this.lines.neighbour(before, 1)
    }
    const from = Math.min(Math.max(start, before?.start ?? 0), behind?.start ?? Infinity)
    return { after: before?.id ?? null, start: from, end: Math.max(end, from + LEAST_S) }
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
  lines.mark()
  const version = (id: string) => lines.get(id)?.version ?? -1
  try {
    const acts = operations.map((given) => {
      let operation = given
      if ('ids' in operation && 'v' in operation) operation = { ...operation, v: operation.ids.map(version) }
      else if ('v' in operation) operation = { ...operation, v: version(operation.id) }
      const act = { operation, base: startOf(lines, operation) }
      perform(lines, operation)
      return act
    })
    checkChanged(lines)
    return acts
  } catch {
    return null
  }
}
