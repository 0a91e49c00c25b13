// What this browser remembers: the options of new jobs, and how the reader likes to read.
import { reactive, watch } from 'vue'

const DEFAULTS = {
  model: 'auto',
  language: '',
  task: 'transcribe',
  preset: '',
  prompt: '', // '': the service decides
  keys: true,
  follow: true,
  rate: 1,
  picture: 38, // the width of a film beside its text, %
  columns: '' as number | '',
  lines: '' as number | '',
  script: '',
  times: true,
  word_times: false,
  bom: false, // of exports
}

function stored(): Partial<typeof DEFAULTS> {
  try {
    return JSON.parse(localStorage.getItem('preferences') ?? '{}') as Partial<typeof DEFAULTS>
  } catch {
    return {}
  }
}

export const preferences = reactive({ ...DEFAULTS, ...stored() })

watch(preferences, (now) => localStorage.setItem('preferences', JSON.stringify(now)))

const withoutEmpty = <T>(values: Record<string, T | ''>): Record<string, T> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== '')) as Record<string, T>

/** The options of a new job that differ from the defaults of the service. */
export function jobOptions(): Record<string, string> {
  const { model, language, task, preset, prompt } = preferences
  return withoutEmpty({
    model: model === 'auto' ? '' : model,
    language,
    task: task === 'transcribe' ? '' : task,
    preset,
    prompt: prompt.trim(),
  })
}

/** The bounds of the fields of a layout. The service has the same. */
export const BOUNDS = { columns: [8, 500], lines: [1, 2] } as const

/** A number that is out of bounds is left to the service. */
function within(value: number | '', [least, most]: readonly [number, number]): number | '' {
  return typeof value === 'number' && value >= least && value <= most ? Math.round(value) : ''
}

/** The layout of exports where it differs from the defaults of the service. A Chinese character takes two columns. */
export function exportLayout(): Record<string, string | number | boolean> {
  const { columns, lines, script, times, word_times, bom } = preferences
  const wide = within(columns, BOUNDS.columns)
  return withoutEmpty<string | number | boolean>({
    line_columns: wide,
    cjk_line_columns: wide,
    lines: within(lines, BOUNDS.lines),
    script,
    times: times ? '' : false,
    word_times: word_times || '',
    bom: bom || '',
  })
}
