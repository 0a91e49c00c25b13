import { vi } from 'vitest'

class Lock extends EventTarget {
  released = false
  async release(): Promise<void> {
    this.released = true
    this.dispatchEvent(new Event('release'))
  }
}
const tab = Object.assign(new EventTarget(), { hidden: false })
const locks: Lock[] = []
let refuses = false
vi.stubGlobal('document', tab)
vi.stubGlobal('navigator', {
  wakeLock: {
    async request(kind: string): Promise<Lock> {
      expect([kind, tab.hidden]).toEqual(['screen', false]) // browsers refuse a tab that is hidden
      if (refuses) throw new DOMException('The battery is low.', 'NotAllowedError')
      locks.push(new Lock())
      return locks.at(-1)!
    },
  },
})
const { keepAwake, letSleep } = await import('../../static/src/live/wakefulness.ts')

const settled = () => new Promise((done) => setTimeout(done))
async function show(hidden: boolean): Promise<void> {
  tab.hidden = hidden
  if (hidden) for (const lock of locks) if (!lock.released) await lock.release() // as browsers do
  tab.dispatchEvent(new Event('visibilitychange'))
  await settled()
}
const held = () => locks.filter(({ released }) => !released).length
afterEach(async () => {
  letSleep()
  refuses = false
  await settled()
  locks.length = 0
})

it('keeps the screen on, and asks again when the tab is seen again', async () => {
  keepAwake()
  await settled()
  expect([locks.length, held()]).toEqual([1, 1])
  keepAwake() // after a pause: it has it already
  await settled()
  expect(locks.length).toBe(1)
  await show(true)
  expect(held()).toBe(0)
  await show(false)
  expect([locks.length, held()]).toEqual([2, 1])
  letSleep()
  expect(held()).toBe(0)
  await show(true)
  await show(false)
  expect(locks.length).toBe(2)
})

it('asks when the tab is seen if it was hidden before', async () => {
  await show(true)
  keepAwake()
  await settled()
  expect(locks.length).toBe(0)
  await show(false)
  expect(held()).toBe(1)
})

it('goes on without a lock where the browser refuses it, and holds none that came too late', async () => {
  refuses = true
  keepAwake()
  await settled()
  expect(held()).toBe(0)
  refuses = false
  await show(false)
  expect(held()).toBe(1)
  letSleep()
  keepAwake()
  letSleep() // before the answer
  await settled()
  expect(held()).toBe(0)
})
