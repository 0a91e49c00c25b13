// Five routes over the History API; a change of route moves the focus to the heading of the new page.
import { nextTick, shallowRef } from 'vue'
import { ROOT } from './root.ts'

export type Route = { page: 'transcripts' | 'models' | 'system' | 'settings' | 'missing' } | { page: 'transcript'; id: string }

export function parse(path: string): Route {
  if (path === '/' || path === '' || path === '/static/dist/index.html') return { page: 'transcripts' }
  const job = /^\/t\/([\w-]+)$/.exec(path)
  if (job) return { page: 'transcript', id: job[1]! }
  const page = /^\/(models|system|settings)$/.exec(path)
  return { page: page ? (page[1] as 'models') : 'missing' }
}

const here = () => parse(location.pathname.slice(ROOT.length))
export const route = shallowRef(here())

/** The address of a page, for links that may also be opened in a new tab. */
export const link = (path: string): string => ROOT + path

export function go(path: string): void {
  history.pushState(null, '', link(path))
  changed()
}

function changed(): void {
  route.value = here()
  void nextTick(() => {
    scrollTo(0, 0)
    document.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true })
  })
}

/** For `@click` of a link: the browser keeps what it does with modifiers and other buttons. */
export function follow(event: MouseEvent): void {
  const anchor = (event.target as Element).closest('a')
  if (!anchor || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  event.preventDefault()
  history.pushState(null, '', anchor.getAttribute('href')!)
  changed()
}

addEventListener('popstate', changed)
