// What this browser remembers: how new recordings are to be transcribed, and how the reader likes to read.
import { reactive, watch } from 'vue'

const EMPTY = {
  model: 'auto', language: '', task: 'transcribe', preset: '', prompt: '', // '': as the service decides
  keys: true, follow: true, rate: 1,
}

function kept(): Partial<typeof EMPTY> {
  try {
    return JSON.parse(localStorage.getItem('preferences') ?? '{}') as Partial<typeof EMPTY>
  } catch {
    return {}
  }
}

export const preferences = reactive({ ...EMPTY, ...kept() })

watch(preferences, (now) => localStorage.setItem('preferences', JSON.stringify(now)))

/** The options of a new job that differ from what the service does by itself. */
export function wishes(): Record<string, string> {
  const { model, language, task, preset, prompt } = preferences
  const said = { model: model === 'auto' ? '' : model, language, task: task === 'transcribe' ? '' : task, preset, prompt: prompt.trim() }
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== ''))
}
