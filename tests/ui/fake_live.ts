// The service as a recording sees it.

/** A service that follows the rules of live sessions. `faults` are taken one after the other, one for each request. */
export class Service {
  sound = new Uint8Array(0)
  ended: string | null = null
  requests: string[] = []
  keys: string[] = [] // of the requests for a session
  faults: ('lost' | 'answer lost' | number | undefined)[] = []

  fetch = async (address: string, { method, body, headers }: RequestInit): Promise<Response> => {
    const offset = (headers as Record<string, string> | undefined)?.['Upload-Offset']
    this.requests.push([method, address, offset].filter((part) => part !== undefined).join(' '))
    const key = (headers as Record<string, string> | undefined)?.['Idempotency-Key']
    if (key !== undefined) this.keys.push(key)
    const fault = this.faults.shift()
    if (fault === 'lost') throw new TypeError('no network')
    const answer =
      typeof fault === 'number' ? this.say(fault, { code: `code_${fault}` }) : this.act(method!, address, offset, body)
    if (fault === 'answer lost') throw new TypeError('no network')
    return answer
  }
  private act(method: string, address: string, offset: string | undefined, body: unknown): Response {
    if (method === 'HEAD') return this.say(this.ended ? 410 : 200, null)
    if (method === 'POST' && address.endsWith('/live')) return this.say(201, { id: 'job' })
    if (address.endsWith('/end')) {
      this.ended ??= 'client'
      return this.say(200, {})
    }
    if (address.endsWith('/resume')) {
      if (this.ended !== 'silence') return this.say(409, { code: 'live_ended' })
      this.ended = null
      return this.say(200, {})
    }
    if (this.ended) return this.say(409, { code: 'live_ended' })
    const from = Number(offset)
    if (from > this.sound.length) return this.say(409, { code: 'offset_ahead' })
    const piece = body as Uint8Array
    const length = Math.max(this.sound.length, from + piece.length)
    const next = new Uint8Array(length)
    next.set(piece, from)
    next.set(this.sound) // what is there stays as it is
    this.sound = next
    return this.say(204, null)
  }
  private say(status: number, value: unknown): Response {
    const headers = { 'Upload-Offset': String(this.sound.length) }
    return new Response(value === null ? null : JSON.stringify(value), { status, headers })
  }
}
