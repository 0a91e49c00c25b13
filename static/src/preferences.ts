// What this browser remembers: the options of new jobs, and how the reader likes to read.
import { reactive, watch } from 'vue'
import type { Bindings } from './keys.ts'
import type { Job } from './types.ts'

/** How Chinese is written where the browser or the page prefers a way. '': as the model writes it. */
export function preferredScript(): string {
  const tags = [localStorage.getItem('language') ?? '', ...(navigator.languages ?? [])]
  const chinese = tags.find((tag) => tag === 'zh' || tag.startsWith('zh-'))
  if (!chinese) return ''
  return tags.some((tag) => /^zh-(Hant|TW|HK|MO)/i.test(tag)) ? 'traditional' : 'simplified'
}

const DEFAULTS = {
  model: 'auto',
  language: '',
  task: 'transcribe',
  preset: '',
  prompt: '', // '': the service decides
  chinese: 'auto', // how new transcripts write Chinese; 'auto': as this browser prefers
  tell_speakers: '', // off, auto, or how many there are; '': the service decides
  least_speakers: '' as number | '', // with auto
  most_speakers: '' as number | '',
  channels: '', // mix, apart, or auto; '': mix
  track: '' as number | '', // of recordings with several; '': the service decides. Not remembered: it is about few files
  keys: true,
  bindings: {} as Bindings, // keys that a person set
  pedals: false, // F3, F4 and F5 are those of a foot pedal
  slow: false, // play slower while somebody types
  click_seeks: true,
  hinted: false, // the keys of a line that is edited were told
  follow: true,
  view: 'lines' as 'lines' | 'paragraphs' | 'subtitles',
  doubts: false, // doubtful words are marked
  zoomed: false, // some seconds of the waveform are shown over the player, and
  zoom_s: 20, // how many
  colour: 1, // of the last highlight
  rate: 1,
  volume: 1,
  rewind: 1, // seconds, after a pause
  format: 'srt', // of the last export
  panel: 'info', // which tab is shown beside a text
  picture: 38, // the width of a film beside its text, %
  captions: true, // on films
  columns: '' as number | '',
  lines: '' as number | '',
  script: '',
  times: true,
  word_times: false,
  speakers: true, // their names in texts and captions
  speaker_column: false, // their names in tables
  notes: false, // in exports, and the next two as well
  unchecked: false,
  compare: false,
  bom: false, // of exports
  author: '', // how this person is called in the log of edits
}

function stored(): Partial<typeof DEFAULTS> {
  try {
    return JSON.parse(localStorage.getItem('preferences') ?? '{}') as Partial<typeof DEFAULTS>
  } catch {
    return {}
  }
}

export const preferences = reactive({ ...DEFAULTS, ...stored() })
if (preferences.chinese === '') preferences.chinese = 'recognized' // of earlier versions

/** What is about one recording, or a few of them, is not remembered: the track, and how many people speak. */
const remembered = (now: typeof DEFAULTS): typeof DEFAULTS => ({
  ...now,
  track: '',
  tell_speakers: /\d/.test(now.tell_speakers) ? 'auto' : now.tell_speakers,
  least_speakers: '',
  most_speakers: '',
})
watch(preferences, (now) => localStorage.setItem('preferences', JSON.stringify(remembered(now))))

const withoutEmpty = <T>(values: Record<string, T | ''>): Record<string, T> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== '')) as Record<string, T>

/** What a person chooses for a job. '': the service decides. */
export type JobChoice = Pick<
  typeof preferences,
  | 'model'
  | 'language'
  | 'task'
  | 'preset'
  | 'prompt'
  | 'chinese'
  | 'tell_speakers'
  | 'least_speakers'
  | 'most_speakers'
  | 'channels'
  | 'track'
>

/** The most speakers that can be asked for. The service has the same bound. */
export const MOST_SPEAKERS = 20

/** What was chosen for a job, to begin another one with. */
export function choiceOf({ options }: Job): JobChoice {
  const { model, language, task, preset, prompt, script, speakers, min_speakers, max_speakers, channels, track } =
    options
  return {
    model,
    language: language ?? '',
    task: task === 'translate' ? task : 'transcribe',
    preset,
    prompt: prompt ?? '',
    chinese: script ?? 'auto',
    tell_speakers: speakers ?? '',
    least_speakers: min_speakers ?? '',
    most_speakers: max_speakers ?? '',
    channels: channels === 'mix' ? '' : channels,
    track: track ?? '',
  }
}

/** The options of a new job that differ from the defaults of the service. */
export function jobOptions(choice: JobChoice = preferences): Record<string, string | number> {
  const { model, language, task, preset, prompt, chinese, channels, track } = choice
  const { tell_speakers, least_speakers, most_speakers } = choice
  const told = tell_speakers === 'auto'
  return withoutEmpty<string | number>({
    model: model === 'auto' ? '' : model,
    language,
    task: task === 'transcribe' ? '' : task,
    preset,
    prompt: prompt.trim(),
    script: chinese === 'auto' ? preferredScript() : chinese,
    speakers: tell_speakers,
    min_speakers: told ? least_speakers : '',
    max_speakers: told ? most_speakers : '',
    channels,
    track: typeof track === 'number' ? track : '',
  })
}

/** The bounds of the fields of a layout. The service has the same. */
export const BOUNDS = { columns: [8, 500], lines: [1, 2] } as const

/** A number that is out of bounds is left to the service. */
function within(value: number | '', [least, most]: readonly [number, number]): number | '' {
  return typeof value === 'number' && value >= least && value <= most ? Math.round(value) : ''
}

/** The layout of exports where it differs from the defaults of the service. A Chinese character takes two columns. */
export function exportLayout(format: string): Record<string, string | number | boolean> {
  const { columns, lines, script, times, word_times, speakers, speaker_column, notes, unchecked, compare, bom } =
    preferences
  const wide = within(columns, BOUNDS.columns)
  return withoutEmpty<string | number | boolean>({
    line_columns: wide,
    cjk_line_columns: wide,
    lines: within(lines, BOUNDS.lines),
    script,
    times: times ? '' : false,
    word_times: word_times || '',
    speakers: format === 'tsv' ? speaker_column || '' : speakers ? '' : false,
    notes: notes || '',
    unchecked: unchecked || '',
    compare: compare || '',
    bom: bom || '',
  })
}
