// One live connection for all tabs: browsers open six connections to one address, so a seventh tab would not even load.
import { openConnection } from './live_connection.ts'
import type { Message } from './reducer.ts'

const ports = new Set<MessagePort>()
let close: (() => void) | undefined
let connection: Message | undefined

addEventListener('connect', (event) => {
  const port = (event as MessageEvent).ports[0]!
  port.onmessage = ({ data }) => {
    if (data === 'bye') {
      ports.delete(port)
      if (ports.size === 0) {
        close?.()
        close = undefined
        connection = undefined
      }
      return
    }
    ports.add(port)
    if (connection) port.postMessage(connection)
    close ??= openConnection((message) => {
      if (message.type === 'connection') connection = message
      for (const other of ports) other.postMessage(message)
    })
  }
})
