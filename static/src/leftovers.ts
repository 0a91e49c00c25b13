// Has what tabs that are gone have left sent (edit/leftovers.ts): now, and when the window gets the focus or the service is
// there again. A browser in which nothing was ever edited loads nothing for it.
import { listen } from './store.ts'

const DATABASE = 'edits'

async function look(): Promise<void> {
  try {
    const known = await indexedDB.databases?.() // older browsers do not tell
    if (known && !known.some(({ name }) => name === DATABASE)) return
    const { sendLeftovers } = await import('./edit/leftovers.ts')
    await sendLeftovers()
  } catch {
    // the browser stores nothing, or the service is away: the next look comes
  }
}

export function watchLeftovers(): void {
  void look()
  addEventListener('focus', () => void look())
  listen((message) => {
    if (message.type === 'connection' && message.connection === 'live') void look()
  })
}
