// A service and tabs for tests of the editor's session: the real session, reducer and rules, without a browser.
import { apply, Refused } from '../../static/src/edit/apply.ts'
import { LineList } from '../../static/src/edit/lines.ts'
import { INITIAL, reduce } from '../../static/src/reducer.ts'
import type { Session } from '../../static/src/edit/session.ts'

export const JOB = 'job'

const word = (text: string, start: number) => ({ start, end: start + 0.3, word: text, probability: 0.5, by: 'machine' })
/** A line as the model hears it: a word takes 0.4 s, lines begin ten seconds apart. */
export function heard(nth: number, text: string): any {
  const words = text.split(/(?= )/).map((one, at) => word(at ? one : ` ${one}`, nth * 10 + at * 0.4))
  const place = { chunk: Math.floor(nth / 3), index: nth % 3, position: nth % 3 }
  const plain = { version: 0, held: false, checked: false, source: 'machine', language: 'en', speaker: null }
  return { ...plain, ...place, id: `c${place.chunk}.${place.index}`, start: nth * 10, end: nth * 10 + 5, text, words }
}

/** What happens to a request: it or its answer is lost, a proxy refuses it, or the service does with a status. */
export type Fault = 'request' | 'answer' | 'proxy' | number | null

export class FakeService {
  lines: any[]
  edits: any[] = [] // the log: {number, batch, client, author, at, operations, inverse, result}
  requests: any[] = []
  fault: (body: any) => Fault = () => null
  deaf = new Set<Tab>() // tabs that get no events
  dead = new Set<string>() // tabs that are gone
  #deleted = new Set<string>()
  #tabs: Tab[] = []
  #nextIndex = 2048

  constructor(texts: string[]) {
    this.lines = texts.map((text, nth) => heard(nth, text))
  }
  join(tab: Tab): void {
    this.#tabs.push(tab)
  }
  leave(tab: Tab): void {
    this.#tabs = this.#tabs.filter((other) => other !== tab)
  }
  get texts(): string[] {
    return this.lines.map(({ text }) => text)
  }
  text(id: string): string | undefined {
    return this.lines.find((line) => line.id === id)?.text
  }
  /** As `GET /api/jobs/ID/transcript`, which does not tell `content`. */
  transcript(): any {
    const segments = this.lines.map(({ content: _, ...line }) => line)
    return { segments, edits: this.edits.length, deleted: [...this.#deleted], speakers: [] }
  }
  /** Make an edit as somebody else would. */
  edit(client: string, ...operations: any[]): any {
    return this.#make({ batch: `${client}-${this.edits.length}`, client, author: client, operations })
  }
  #make({ batch, client, author = '', operations, undoes }: any): any {
    const known = this.edits.find((edit) => edit.batch === batch)
    if (known) return known.result
    const lines = new LineList(this.lines)
    const inverse = apply(lines, operations)
    const { lines: changed, gone } = lines.changes()
    const placed = changed.map((line: any) => (line.index < 0 ? { ...line, index: this.#nextIndex++ } : line))
    const byId = new Map(placed.map((line: any) => [line.id, line]))
    this.lines = lines.items.map((line) => byId.get(line.id) ?? line)
    for (const id of gone) this.#deleted.add(id)
    for (const { id } of placed) this.#deleted.delete(id)
    const number = this.edits.length + 1
    const result = { job_id: JOB, number, batch, client, lines: placed, gone }
    this.edits.push({ number, batch, client, author, at: 1000, operations, inverse, undoes, result })
    for (const tab of this.#tabs) if (!this.deaf.has(tab)) tab.hears(result)
    return result
  }
  answer(url: string, body: any): [number, any] {
    if (!body) return [200, { edits: [...this.edits].reverse(), next: null }]
    const undone = /edits\/(\d+)\/undo$/.exec(url)
    try {
      if (!undone) return [200, this.#make(body)]
      const { inverse, number } = this.edits[Number(undone[1]) - 1]
      return [200, this.#make({ ...body, operations: inverse, undoes: number })]
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      const isConflict = error.message === 'conflict'
      const inverse = undone && this.edits[Number(undone[1]) - 1].inverse.flatMap((one: any) => one.lines ?? [])
      const named = (inverse ?? body.operations).flatMap((one: any) => one.ids ?? one.id ?? [])
      const params = isConflict ? { ids: named, number: this.edits.length } : { reason: error.message }
      return [
        isConflict ? 409 : 422,
        { code: isConflict ? 'edit_conflict' : 'bad_edit', message: 'No.', hint: '', params },
      ]
    }
  }
  fetch = async (url: string, options: any = {}): Promise<any> => {
    if (options.body && this.dead.has(JSON.parse(options.body).client)) return new Promise(() => undefined)
    await new Promise((done) => setTimeout(done, 5))
    const body = options.body && JSON.parse(options.body)
    if (body) this.requests.push(body)
    const fault = body ? this.fault(body) : null
    if (fault === 'proxy') return { status: 413, ok: false, text: async () => '<h1>Too Large</h1>' }
    if (fault === 'request') throw new TypeError('Failed to fetch')
    const [status, value] =
      typeof fault === 'number' ? [fault, { code: 'no', message: '', hint: '', params: {} }] : this.answer(url, body)
    await new Promise((done) => setTimeout(done, 5))
    if (fault === 'answer') throw new TypeError('Failed to fetch')
    return { status, ok: status < 300, text: async () => JSON.stringify(value) }
  }
}

/** What the tabs of one browser share. */
export class Browser {
  rows = new Map<string, any>() // the outbox
  held = new Map<string, (() => void)[]>() // locks, and who waits for them
  keeps = true // it stores anything at all
  said: string[] = [] // notices
}

export class Tab {
  session!: Session
  state = { value: INITIAL }
  listeners = new Set<(message: any) => void>()
  id = '' // as the service knows it
  locks: (() => void)[] = []
  events = new Map<string, ((event: any) => void)[]>()

  constructor(
    readonly service: FakeService,
    readonly browser: Browser,
    readonly storage = new Map<string, string>(), // of this tab; a reload keeps it
  ) {}

  dispatch = (message: any): void => {
    this.state.value = reduce(this.state.value, message)
    for (const listener of this.listeners) listener(message)
  }
  hears(edit: any): void {
    setTimeout(() => this.dispatch({ type: 'edit', seq: 0, edit: structuredClone(edit) }), 8)
  }
  fetchTranscript = async (): Promise<boolean> => {
    this.dispatch({ type: 'reading', id: JOB })
    const transcript = structuredClone(this.service.transcript())
    await new Promise((done) => setTimeout(done, 5))
    if (transcript.edits < (this.state.value.edits[JOB] ?? 0)) return this.fetchTranscript()
    this.dispatch({ type: 'transcript', id: JOB, transcript })
    return true
  }
  fire(name: string, event: any = {}): void {
    for (const listener of this.events.get(name) ?? []) listener(event)
  }
  /** The tab is closed or dies. */
  die(): void {
    this.service.leave(this)
    this.service.dead.add(this.id)
    for (const release of this.locks.splice(0)) release()
    this.listeners.clear()
    this.dispatch = () => undefined
  }
  get texts(): string[] {
    return this.session.lines.value.map(({ text }) => text.trim())
  }
  text(id: string): string | undefined {
    return this.session.lines.value.find((line) => line.id === this.session.idOf(id))?.text.trim()
  }
}

/** Open the page of the transcript in a new tab. */
export async function openTab(
  service: FakeService,
  browser = new Browser(),
  storage = new Map<string, string>(),
): Promise<Tab> {
  const tab = new Tab(service, browser, storage)
  const path = (name: string) => `../../static/src/${name}`
  vi.resetModules()
  vi.doMock(path('store.ts'), () => ({
    state: tab.state,
    dispatch: (message: any) => tab.dispatch(message),
    fetchTranscript: tab.fetchTranscript,
    listen: (listener: any) => {
      tab.listeners.add(listener)
      return () => tab.listeners.delete(listener)
    },
  }))
  vi.doMock(path('edit/outbox.ts'), () => ({
    store: async (changes: any[], gone: string[] = []) => {
      if (!browser.keeps) return false
      if (service.dead.has(tab.id)) return new Promise(() => undefined)
      for (const change of structuredClone(changes)) browser.rows.set(change.batch, change)
      for (const batch of gone) browser.rows.delete(batch)
      return true
    },
    stored: async () =>
      browser.keeps ? structuredClone([...browser.rows.values()]).sort((one, other) => one.order - other.order) : null,
  }))
  vi.doMock(path('i18n/index.ts'), () => ({
    t: (key: string, values: any) => `${key} ${JSON.stringify(values ?? {})}`,
  }))
  vi.doMock(path('i18n/problems.ts'), () => ({
    explain: (problem: any) => ({ what: problem.code, hint: '', detail: '' }),
  }))
  vi.doMock(path('notices.ts'), () => ({ notify: (text: string) => browser.said.push(text) }))
  vi.doMock(path('preferences.ts'), () => ({ preferences: { author: 'Me' } }))
  vi.doMock(path('root.ts'), () => ({ ROOT: '' }))
  vi.stubGlobal('fetch', service.fetch)
  const locks = {
    query: async () => ({ held: [...browser.held.keys()].map((name) => ({ name })) }),
    request: async (name: string, act: () => Promise<any>) => {
      while (browser.held.has(name)) await new Promise<void>((free) => browser.held.get(name)!.push(free))
      browser.held.set(name, [])
      const release = () => {
        const waiting = browser.held.get(name)
        browser.held.delete(name)
        for (const free of waiting ?? []) free()
      }
      tab.locks.push(release)
      const result = await act()
      if (tab.locks.includes(release)) release()
      tab.locks = tab.locks.filter((other) => other !== release)
      return result
    },
  }
  vi.stubGlobal('navigator', { locks })
  vi.stubGlobal('sessionStorage', {
    getItem: (key: string) => storage.get(key) ?? null,
    setItem: (key: string, value: string) => storage.set(key, value),
  })
  const add = (name: string, listener: any) => tab.events.set(name, [...(tab.events.get(name) ?? []), listener])
  vi.stubGlobal('addEventListener', add)
  vi.stubGlobal('removeEventListener', () => undefined)
  vi.stubGlobal('document', {
    hidden: false,
    createElement: () => ({}),
    addEventListener: add,
    removeEventListener: () => undefined,
  })
  service.join(tab)
  const { openSession } = await import('../../static/src/edit/session.ts')
  tab.id = (await import('../../static/src/edit/recovery.ts')).TAB
  tab.session = openSession(JOB)
  const loaded = tab.fetchTranscript()
  await vi.advanceTimersByTimeAsync(10)
  await loaded
  return tab
}
