// What this browser remembers: how new recordings are to be transcribed, and how the reader likes to read.
import { reactive, watch } from 'vue'

const EMPTY = {
  model: 'auto', language: '', task: 'transcribe', preset: '', prompt: '', // '': as the service decides
  keys: true, follow: true, rate: 1, picture: 38, // the width of a film beside its text, %
  columns: '' as number | '', lines: '' as number | '', script: '', times: true, word_times: false, bom: false, // of exports
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

/** How exports are to look, where that differs from what the service does by itself. A Chinese character takes two columns. */
export function shape(): Record<string, string | number | boolean> {
  const { columns, lines, script, times, word_times, bom } = preferences
  const within = (value: number | '', least: number, most: number) => (typeof value === 'number' && value >= least && value <= most ? Math.round(value) : '') // else as the service does it
  const wide = within(columns, 8, 500)
  const said = { line_columns: wide, cjk_line_columns: wide, lines: within(lines, 1, 2), script, times: times ? '' : false, word_times: word_times || '', bom: bom || '' }
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== ''))
}
