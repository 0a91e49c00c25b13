// What of the text is seen, and scrolling to what is not.

/** The part of the window between the bar and what lies at its foot: the player, keys for a phone, its keyboard. */
export function room(): [top: number, bottom: number] {
  const bar = document.querySelector('.reading-bar')?.getBoundingClientRect()
  const feet = [...document.querySelectorAll('.player, .key-strip')].map((foot) => foot.getBoundingClientRect())
  const { offsetTop = 0, height = innerHeight } = globalThis.visualViewport ?? {}
  const tops = feet.filter((foot) => foot.height > 0).map((foot) => foot.top)
  return [Math.max(offsetTop, bar?.bottom ?? 0), Math.min(offsetTop + height, ...tops)]
}
export function isSeen(element: Element): boolean {
  const { top, bottom } = element.getBoundingClientRect()
  const [least, most] = room()
  return top >= least && bottom <= most
}

const FAR = 2 // windows: further than so, a smooth scroll takes longer than the reader waits

/** Show a line in the middle of the window. With `gently`, a line that is seen already stays where it is. */
export function revealLine(line: HTMLElement | null, how: 'smooth' | 'gently' | 'now' = 'now'): void {
  if (!line || (how === 'gently' && isSeen(line))) return
  const { top } = line.getBoundingClientRect()
  const behavior = how === 'smooth' && Math.abs(top) < FAR * innerHeight ? 'smooth' : 'instant'
  line.scrollIntoView({ block: 'center', behavior })
  if (behavior === 'smooth') return
  let looks = 3 // blocks on the way are drawn now, and are seldom as high as was assumed
  const again = () => {
    if (!isSeen(line)) line.scrollIntoView({ block: 'center', behavior: 'instant' })
    if (--looks) requestAnimationFrame(again)
  }
  requestAnimationFrame(again)
}

const MARGIN_PX = 8

/** Scroll as little as is needed for an element to be seen as a whole. */
export function keepInSight(element: Element): void {
  const { top, bottom } = element.getBoundingClientRect()
  const [least, most] = room()
  if (top < least) scrollBy({ top: top - least - MARGIN_PX, behavior: 'instant' })
  else if (bottom > most) scrollBy({ top: Math.min(top - least, bottom - most) + MARGIN_PX, behavior: 'instant' })
}
