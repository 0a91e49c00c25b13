// Puts the changes of this tab on top of what the service says. Pure: the same changes on the same lines give the same.
// Somebody else may have changed the lines meanwhile; then texts are merged word by word, or a person must choose.
import type { ClientOperation, Segment } from '../types.ts'
import { apply, clean, perform, wayBack, withText, type Operation } from './apply.ts'
import { baseOf, changedBy, lineAt, madeBy, type Base, type Change } from './changes.ts'
import { LineList, type Line } from './lines.ts'
import { mergeTexts } from './merge.ts'

/** Two texts of a line of which a person must choose one. `gone`: the line was deleted, and its new text is a new line. */
export interface Clash {
  mine: string
  theirs: string
  gone?: boolean
}
export interface Rebased {
  ready: ClientOperation[] // with the versions that the lines have now
  bases: Record<string, Base> // what `ready` starts from
  held: ClientOperation[] // they wait for a decision about their line
}
export interface View {
  lines: Line[]
  changes: Map<string, Rebased> // by batch
  clashes: Map<string, Clash> // by line
  moved: Map<string, string> // lines that are gone, and the new lines that have what was typed into them
}
/** What a fold remembers for later ones: by batch, what undoes it. */
export type Inverses = Map<string, Operation[]>

/** A character that nobody types: it marks a place in a text while that text is merged. */
const PLACE = '\ue000'

/** Lines with all changes, in order. A line in `composing` is not merged: its text belongs to the input method. */
export function fold(said: readonly Segment[], changes: Change[], inverses: Inverses, composing: string | null): View {
  const view: View = { lines: [], changes: new Map(), clashes: new Map(), moved: new Map() }
  const lines = new LineList(said)
  const held = new Set<string>()
  for (const change of changes) view.changes.set(change.batch, foldOne(lines, change, view, held, inverses, composing))
  view.lines = lines.items
  return view
}

function foldOne(
  lines: LineList,
  change: Change,
  view: View,
  held: Set<string>,
  inverses: Inverses,
  composing: string | null,
): Rebased {
  const result: Rebased = { ready: [], bases: {}, held: [] }
  lines.mark()
  if (change.undoes) (inverses.get(change.undoes) ?? []).every((operation) => shown(lines, operation))
  for (const [at, operation] of change.operations.entries()) {
    const names = changedBy(operation).map((id) => view.moved.get(id) ?? id)
    let waits = change.problem !== undefined || names.some((id) => held.has(id))
    const adapted = adapt(operation, change, at, lines, view, composing)
    if (!adapted) continue
    if ('mine' in adapted) {
      waits = true
      lines.put(adapted.mine)
      if (adapted.theirs !== undefined) view.clashes.set(names[0]!, { mine: adapted.mine.text, theirs: adapted.theirs })
    } else {
      if (!waits) {
        result.ready.push(adapted)
        for (const id of changedBy(adapted)) if (!(id in result.bases)) result.bases[id] = baseOf(lines, lines.get(id)!)
      }
      shown(lines, adapted)
      if (!waits) continue
    }
    result.held.push(operation)
    for (const id of [...names, ...madeBy(operation)]) held.add(id)
    const clash = view.clashes.get(names[0] ?? '')
    if (clash && operation.op === 'text') clash.mine = clean(operation.text) // the newest of several
  }
  const back = wayBack(lines)
  if (back.length) inverses.set(change.batch, back)
  return result
}

/** Do an operation if it can be done. If not, it is not shown, and the service says why. */
function shown(lines: LineList, operation: Operation): boolean {
  try {
    perform(lines, operation)
    return true
  } catch {
    return false
  }
}

type Adapted = ClientOperation | { mine: Line; theirs: string | undefined } | null

/** The operation for the lines as they are now. Null: there is nothing left to do. */
function adapt(
  operation: ClientOperation,
  { batch, bases, open }: Change,
  at: number,
  lines: LineList,
  view: View,
  composing: string | null,
): Adapted {
  const version = (id: string) => lines.get(id)!.version
  switch (operation.op) {
    case 'text': {
      const id = view.moved.get(operation.id) ?? operation.id
      const line = lines.get(id)
      const text = clean(operation.text)
      const base = bases[operation.id]
      if (!line) return base && text ? asNew(text, base, operation.id, `${batch}.${at}`, lines, view) : null
      if (text === line.text.trim()) return null
      if (!base || base.text === line.text) return { ...operation, id, v: line.version }
      if (!text) return null // somebody wrote into the line that was to go
      if (open && composing === id) return { mine: withText(lines, line, text), theirs: undefined }
      const merged = mergeTexts(base.text, text, line.text)
      if (merged !== null) return { ...operation, id, v: line.version, text: merged }
      return { mine: withText(lines, line, text), theirs: line.text }
    }
    case 'split': {
      const line = lines.get(operation.id)
      const place = line && !lines.get(operation.new) ? placeIn(line.text, operation.at, bases[line.id]) : null
      return place === null ? null : { ...operation, v: line!.version, at: place }
    }
    case 'merge': {
      const ids = operation.ids.filter((id) => lines.get(id))
      return ids.length < 2 || ids[0] !== operation.ids[0] ? null : { ...operation, ids, v: ids.map(version) }
    }
    case 'delete': {
      const line = lines.get(operation.id)
      const base = bases[operation.id]
      return line && (!base || base.text === line.text) ? { ...operation, v: line.version } : null
    }
    case 'insert': {
      if (lines.get(operation.new)) return null
      if (operation.after === null || lines.get(operation.after)) return operation
      return { ...operation, after: lineAt(lines.items, operation.start)?.id ?? null }
    }
    case 'time':
      return lines.get(operation.id) ? { ...operation, v: version(operation.id) } : null
    case 'speaker':
    case 'check': {
      const ids = operation.ids.filter((id) => lines.get(id))
      return ids.length ? { ...operation, ids } : null
    }
    default:
      return operation
  }
}

/** What was typed into a line that is gone, as a new line where that one was. */
function asNew(text: string, base: Base, old: string, id: string, lines: LineList, view: View): Adapted {
  view.moved.set(old, id)
  view.clashes.set(id, { mine: text, theirs: '', gone: true })
  if (lines.get(id)) return null
  const before = (base.before !== null && lines.get(base.before)) || lineAt(lines.items, base.start)
  const behind = before ? lines.neighbour(before, 1) : lines.items[0]
  const start = Math.min(Math.max(base.start, before?.start ?? 0), behind?.start ?? Infinity)
  return { op: 'insert', after: before?.id ?? null, new: id, start, end: Math.max(base.end, start + 0.1), text }
}

/** Where a cut of `base` is in a text that somebody changed meanwhile, in code points. Null: that place is gone. */
function placeIn(text: string, at: number, base: Base | undefined): number | null {
  if (!base || base.text === text) return at
  const points = [...base.text]
  const marked = points.slice(0, at).join('') + PLACE + points.slice(at).join('')
  const merged = mergeTexts(base.text, marked, text)
  return merged === null ? null : [...merged].indexOf(PLACE)
}

/** Whether operations can be done on these lines. */
export function fits(said: readonly Segment[], operations: Operation[]): boolean {
  try {
    apply(new LineList(said), operations)
    return true
  } catch {
    return false
  }
}
