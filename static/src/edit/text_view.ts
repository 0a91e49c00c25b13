// Lines, paragraphs or subtitles. A switch keeps the line in sight that is at the top of the window.
import { nextTick } from 'vue'
import { preferences } from '../preferences.ts'
import { room } from '../text_places.ts'

const PATIENCE_MS = 5_000 // the first time a view is fetched

export async function switchView(view: typeof preferences.view): Promise<void> {
  const [top] = room()
  const line = [...document.querySelectorAll<HTMLElement>('.text [data-line], .cues [data-lines]')].find(
    (one) => one.getBoundingClientRect().bottom > top,
  )
  const id = line?.dataset.line ?? line?.dataset.lines?.split(' ')[0]
  const before = line?.getBoundingClientRect().top ?? 0
  preferences.view = view
  if (id === undefined) return
  await nextTick()
  let looks = 4 // blocks above are drawn now, and are seldom as high as was assumed
  const until = performance.now() + PATIENCE_MS
  const settle = () => {
    const escaped = CSS.escape(id)
    const now = document.querySelector(`.text [data-line="${escaped}"], .cues [data-lines~="${escaped}"]`)
    if (now) scrollBy({ top: now.getBoundingClientRect().top - Math.max(before, top), behavior: 'instant' })
    if (now) looks -= 1
    if (looks && performance.now() < until) requestAnimationFrame(settle)
  }
  settle()
}
