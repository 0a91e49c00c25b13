// Which sound is recorded. This browser remembers it.
import { reactive, watch } from 'vue'
import type { Choice } from './sources.ts'

export type From = 'microphone' | 'shared' | 'both'

const KEY = 'recording from'

function stored(): { from?: From; device?: string } {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '{}') as { from?: From; device?: string }
  } catch {
    return {}
  }
}

export const chosen = reactive({ from: 'microphone' as From, device: '', ...stored() })
watch(chosen, (now) => localStorage.setItem(KEY, JSON.stringify(now)))

export const choice = (): Choice => ({
  microphone: chosen.from !== 'shared',
  shared: chosen.from !== 'microphone',
  device: chosen.device,
})
