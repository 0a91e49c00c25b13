// What is selected in the text, over one or more lines.
import { lineId } from '../transcript_text.ts'
import type { Segment } from '../types.ts'
import { anchorOf, type Anchor } from './mark_places.ts'

export interface Selected {
  first: Anchor
  last: Anchor
  words: string
  box: DOMRect
}

/** The line and the UTF-16 units that a place in the document is at. Null: it is in no line. */
function placeOf(node: Node, offset: number): { line: string; offset: number } | null {
  const element = node instanceof Element ? node : node.parentElement
  const row = element?.closest<HTMLElement>('[data-line]')
  const said = row?.querySelector(':scope > p')
  if (!row || !said) return null
  const line = row.dataset.line!
  if (node === said.firstChild) return { line, offset }
  const range = document.createRange()
  range.selectNodeContents(said)
  const order = range.comparePoint(node, offset) // the place may be in the time before the text
  return { line, offset: order < 0 ? 0 : order > 0 ? said.textContent!.length : offset ? said.textContent!.length : 0 }
}

/** The selection in the text. Null: there is none. */
export function selected(lines: readonly Segment[]): Selected | null {
  const selection = getSelection()
  const range = selection?.rangeCount ? selection.getRangeAt(0) : null
  if (!range || range.collapsed) return null
  const text = document.querySelector('.text')
  if (!text?.contains(range.commonAncestorContainer)) return null
  const first = placeOf(range.startContainer, range.startOffset)
  let last = placeOf(range.endContainer, range.endOffset)
  if (!first || !last) return null
  const byId = (id: string) => lines.findIndex((line) => lineId(line) === id)
  const begin = byId(first.line)
  let end = byId(last.line)
  if (begin < 0 || end < begin) return null
  if (last.offset === 0 && end > begin) {
    end -= 1
    last = { line: lineId(lines[end]!), offset: lines[end]!.text.trim().length }
  }
  const words = range.toString().trim()
  if (!words || (begin === end && last.offset <= first.offset)) return null
  return {
    first: anchorOf(lines[begin]!, first.offset),
    last: anchorOf(lines[end]!, last.offset),
    words,
    box: range.getBoundingClientRect(),
  }
}
