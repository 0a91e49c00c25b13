// The caret in a line, whose element has one text node: where it is, and where it goes in the rows that the browser made.

/** The offset of the caret, or of the end of the selection, in an element. Null: it is not there. */
export function caretIn(element: Element): number | null {
  const selection = getSelection()
  if (!selection?.focusNode || !element.contains(selection.focusNode)) return null
  return selection.focusNode === element
    ? selection.focusOffset && (element.textContent?.length ?? 0)
    : selection.focusOffset
}

/** What is selected in an element: from, to. Null: nothing of it is. */
export function selectedIn(element: Element): [number, number] | null {
  const selection = getSelection()
  if (!selection?.rangeCount || !element.contains(selection.anchorNode) || !element.contains(selection.focusNode))
    return null
  const { startContainer, startOffset, endContainer, endOffset } = selection.getRangeAt(0)
  const length = element.textContent?.length ?? 0
  const from = startContainer === element ? startOffset && length : startOffset
  const to = endContainer === element ? endOffset && length : endOffset
  return [from, to]
}

/** Put the caret into an element. */
export function setCaret(element: Element, offset: number): void {
  const node = element.firstChild ?? element
  getSelection()?.collapse(node, Math.max(0, Math.min(offset, node.textContent?.length ?? 0)))
}

function rectAt(node: Node, offset: number): DOMRect {
  const range = document.createRange()
  range.setStart(node, offset)
  range.setEnd(node, Math.min(offset + 1, node.textContent?.length ?? 0))
  return range.getClientRects()[0] ?? range.getBoundingClientRect()
}

/** The place of the caret in the window. */
export function caretRect(element: Element, offset: number): { x: number; top: number; bottom: number } {
  const node = element.firstChild
  const length = node?.textContent?.length ?? 0
  if (!node || !length) {
    const { left, right, top, bottom } = element.getBoundingClientRect()
    return { x: isRightToLeft(element) ? right : left, top, bottom }
  }
  const { left, right, top, bottom } = rectAt(node, Math.min(offset, length - 1))
  const isBehind = offset >= length !== isRightToLeft(element)
  return { x: isBehind ? right : left, top, bottom }
}
const isRightToLeft = (element: Element) => getComputedStyle(element).direction === 'rtl'

/** Whether the caret is in the first row (-1) or in the last one (1) of a line. */
export function isInRow(element: Element, offset: number, row: -1 | 1): boolean {
  const here = caretRect(element, offset)
  const edge = caretRect(element, row < 0 ? 0 : Infinity)
  return row < 0 ? here.top < edge.bottom - 1 : here.bottom > edge.top + 1
}

/** The offset that is nearest to `x` in the first row (1: the caret comes from above) or in the last one (-1). */
export function offsetNear(element: Element, x: number, from: -1 | 1): number {
  const node = element.firstChild
  const length = node?.textContent?.length ?? 0
  if (!node || !length) return 0
  const edge = caretRect(element, from > 0 ? 0 : Infinity)
  const backwards = isRightToLeft(element)
  let best = from > 0 ? 0 : length
  let nearest = Math.abs(edge.x - x)
  for (let at = from > 0 ? 0 : length - 1; at >= 0 && at < length; at += from) {
    const { left, right, top, bottom } = rectAt(node, at)
    if (from > 0 ? top > edge.bottom - 1 : bottom < edge.top + 1) break
    const [begin, end] = backwards ? [right, left] : [left, right]
    for (const [place, offset] of [
      [begin, at],
      [end, at + 1],
    ] as const)
      if (Math.abs(place - x) < nearest) {
        nearest = Math.abs(place - x)
        best = offset
      }
  }
  // Behind the last character of a row that goes on, the caret would stand in the next row.
  return best < length && from > 0 && rectAt(node, best).top > edge.bottom - 1 ? best - 1 : best
}

/** Where the caret stands after its text became another one. */
export function movedCaret(before: string, after: string, offset: number): number {
  const shorter = Math.min(before.length, after.length)
  let same = 0
  while (same < shorter && before[same] === after[same]) same += 1
  if (offset <= same) return offset
  let tail = 0
  while (tail < shorter - same && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1
  if (offset >= before.length - tail) return offset + after.length - before.length
  return after.length - tail
}
