// The pages and their addresses, over the History API. A change of page moves the focus to the heading of the new page.
import { nextTick, shallowRef } from 'vue'
import { ROOT } from './root.ts'

/** The service answers each of these with the page: see `ROUTES` in web/page.py. */
export const PATHS = {
  transcripts: '/',
  models: '/models',
  system: '/system',
  settings: '/settings',
  record: '/record',
} as const
/** The pages in the header. */
export const MAIN = ['transcripts', 'models', 'system', 'settings'] as const
const TRANSCRIPT = '/t/'
/** Not a page of the frame: see main.ts. */
export const CAPTIONS = 'captions'
const BUILT = '/static/dist/index.html' // the page as a file of the service

export type Page = keyof typeof PATHS
export type Route = { page: Page | 'missing' } | { page: 'transcript'; id: string }

export function parsePath(path: string): Route {
  const id = path.startsWith(TRANSCRIPT) ? path.slice(TRANSCRIPT.length) : ''
  if (/^[\w-]+$/.test(id)) return { page: 'transcript', id }
  if (path === '' || path === BUILT) return { page: 'transcripts' }
  const page = (Object.keys(PATHS) as Page[]).find((name) => PATHS[name] === path)
  return { page: page ?? 'missing' }
}

const current = () => parsePath(location.pathname.slice(ROOT.length))
export const route = shallowRef(current())

export const pageUrl = (page: Page): string => ROOT + PATHS[page]

/** The address of a transcript, or of a time in it, with a phrase to look for. */
export const transcriptUrl = (id: string, time?: number, phrase = ''): string =>
  ROOT + TRANSCRIPT + id + (phrase && `?q=${encodeURIComponent(phrase)}`) + (time === undefined ? '' : timeHash(time))

export const timeHash = (seconds: number): string => `#t=${Math.floor(seconds)}`

/** The seconds in a hash: `#t=31:20`, `#t=1:14:02.5`, `#t=80`. Null: the hash has no time. */
export function timeOfHash(hash: string): number | null {
  const found = /^#t=((?:\d+:){0,2}\d+(?:\.\d+)?)$/.exec(hash)
  return found ? found[1]!.split(':').reduce((sum, part) => 60 * sum + Number(part), 0) : null
}

let prepare: (page: Route['page']) => Promise<boolean> = async () => true

/** Have `load` called before a page is shown. If it returns false, the visitor stays on the earlier page. */
export function loadWith(load: typeof prepare): void {
  prepare = load
}

export async function navigate(url: string): Promise<void> {
  const { pathname } = new URL(url, location.href)
  if (!(await prepare(parsePath(pathname.slice(ROOT.length)).page))) return
  history.pushState(null, '', url)
  await showRoute()
}

async function showRoute(): Promise<void> {
  const { pathname } = location
  if (!(await prepare(current().page)) || pathname !== location.pathname) return
  route.value = current()
  await nextTick()
  scrollTo(0, 0)
  document.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true })
}

/** For `@click` of a link. The browser keeps clicks with modifier keys and with other buttons. */
export function followLink(event: MouseEvent): void {
  const anchor = (event.target as Element).closest('a')
  if (!anchor || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  event.preventDefault()
  void navigate(anchor.getAttribute('href')!)
}

addEventListener('popstate', () => {
  if (JSON.stringify(current()) !== JSON.stringify(route.value)) void showRoute() // else only the time in the hash changed
})
