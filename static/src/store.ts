// The state of this tab: every message goes through the one reducer, whoever sent it.
import { shallowRef } from 'vue'
import { openLink } from './link.ts'
import workerUrl from './link.worker.ts?worker&url'
import { EMPTY, reduce, type Message, type State } from './reducer.ts'
import type { Transcript } from './types.ts'
import { ask } from './api.ts'

export const state = shallowRef<State>(EMPTY)

let fetching = false

export function tell(message: Message): void {
  state.value = reduce(state.value, message)
  if (state.value.stale && !fetching) void refresh()
}

async function refresh(): Promise<void> {
  fetching = true
  const answer = await ask<any>('GET', '/api/state?limit=200')
  fetching = false
  if (answer.ok) {
    tell({ type: 'snapshot', snapshot: answer.value })
    // Whoever reads a text may have missed lines of it.
    for (const id of Object.keys(state.value.texts)) void read(id)
  } else if (!state.value.loaded) {
    if (state.value.link === 'connecting') tell1({ type: 'link', link: 'reconnecting' })
    setTimeout(() => tell({ type: 'reset' }), 3_000)
  }
}

function tell1(message: Message): void {
  state.value = reduce(state.value, message)
}

export async function read(id: string): Promise<boolean> {
  const answer = await ask<Transcript>('GET', `/api/jobs/${id}/transcript`)
  if (answer.ok) tell1({ type: 'transcript', id, transcript: answer.value })
  return answer.ok
}

interface Policy { createScriptURL(url: string): unknown }
const trusted = (globalThis as any).trustedTypes as { createPolicy(name: string, rules: object): Policy } | undefined

export function start(): void {
  void refresh()
  if ('SharedWorker' in globalThis) {
    const policy = trusted?.createPolicy('hub', { createScriptURL: (url: string) => url })
    const url = (policy ? policy.createScriptURL(workerUrl) : workerUrl) as string
    const { port } = new SharedWorker(url, { type: 'module', name: 'link' })
    port.onmessage = ({ data }) => tell(data as Message)
    port.postMessage('hello')
    addEventListener('pagehide', () => port.postMessage('bye'))
    addEventListener('pageshow', (event) => { if (event.persisted) port.postMessage('hello') })
    return
  }
  let close: (() => void) | undefined
  const follow = () => {
    if (document.hidden) {
      close?.()
      close = undefined
    } else close ??= openLink(tell)
  }
  document.addEventListener('visibilitychange', follow)
  follow()
}
