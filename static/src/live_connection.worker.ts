// The link of all tabs of this browser: a browser opens six connections to one address, and the seventh tab would not even load.
import { openLink } from './live_connection.ts'
import type { Message } from './reducer.ts'

const ports = new Set<MessagePort>()
let close: (() => void) | undefined
let link: Message | undefined

addEventListener('connect', (event) => {
  const port = (event as MessageEvent).ports[0]!
  port.onmessage = ({ data }) => {
    if (data === 'bye') {
      ports.delete(port)
      if (ports.size === 0) {
        close?.()
        close = undefined
        link = undefined
      }
      return
    }
    ports.add(port)
    if (link) port.postMessage(link)
    close ??= openLink((message) => {
      if (message.type === 'link') link = message
      for (const other of ports) other.postMessage(message)
    })
  }
})
