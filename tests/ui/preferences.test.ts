import { readFileSync } from 'node:fs'
import { EXPORT_OPTIONS, FORMATS } from '../../static/src/jobs.ts'

const stored = { columns: 42, lines: 9, model: 'small', prompt: ' Nguyen ' }
let chosen: string | null = null // the language of the page
vi.stubGlobal('localStorage', {
  getItem: (key: string) => (key === 'language' ? chosen : JSON.stringify(stored)),
  setItem: () => undefined,
})
vi.stubGlobal('document', { createElement: () => ({}) })
vi.stubGlobal('navigator', { languages: ['zh-TW', 'en'] })
const { BOUNDS, choiceOf, exportLayout, jobOptions, MOST_SPEAKERS, preferences, preferredScript } = await import(
  '../../static/src/preferences.ts'
)

const api = JSON.parse(readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8'))
const parameters: { name: string; schema: { minimum: number; maximum: number } }[] =
  api.paths['/api/jobs/{job_id}/export'].get.parameters

it('has the bounds of the API', () => {
  const bounds = (wanted: string) => {
    const { minimum, maximum } = parameters.find(({ name }) => name === wanted)!.schema
    return [minimum, maximum]
  }
  expect(BOUNDS).toEqual({ columns: bounds('line_columns'), lines: bounds('lines') })
})

it('offers every format of the API', () => {
  expect([...FORMATS].sort()).toEqual([...api.components.schemas.Format.enum].sort())
})

it('sends what differs from the defaults of the service, and no number out of bounds', () => {
  expect(jobOptions()).toEqual({ model: 'small', prompt: 'Nguyen', script: 'traditional' })
  expect(exportLayout('srt')).toEqual({ line_columns: 42, cjk_line_columns: 42 })
})

it('has names of speakers in a file, unless they are switched off, and in a table on request', () => {
  const asked = (format: string) => exportLayout(format).speakers
  expect([asked('srt'), asked('tsv')]).toEqual([undefined, undefined])
  Object.assign(preferences, { speakers: false, speaker_column: true })
  expect([asked('srt'), asked('json'), asked('tsv')]).toEqual([false, false, true])
  Object.assign(preferences, { speakers: true, speaker_column: false })
})

it('begins another try with what was chosen for a job', () => {
  const options = {
    model: 'small',
    language: 'de',
    task: 'translate',
    preset: 'accurate',
    prompt: 'Li',
    track: 0,
    speakers: 'auto',
    min_speakers: 2,
    max_speakers: 3,
    channels: 'auto',
  }
  const job = { options: { ...options, script: 'recognized', word_timestamps: true, webhook: 'https://a.example' } }
  expect(jobOptions(choiceOf(job as any))).toEqual({ ...options, script: 'recognized' })
  const plain = {
    model: 'auto',
    language: null,
    task: 'transcribe',
    preset: 'fast',
    prompt: null,
    script: null,
    speakers: null,
    min_speakers: null,
    max_speakers: null,
    channels: 'mix',
  }
  vi.stubGlobal('navigator', { languages: ['en'] })
  expect(jobOptions(choiceOf({ options: { ...plain, track: null } } as any))).toEqual({ preset: 'fast' })
})

it('tells speakers apart as was chosen, with bounds only for an automatic number', () => {
  const bounds = { least_speakers: 2, most_speakers: 4 } as const
  Object.assign(preferences, { tell_speakers: 'auto', ...bounds })
  expect(jobOptions()).toMatchObject({ speakers: 'auto', min_speakers: 2, max_speakers: 4 })
  preferences.tell_speakers = '3'
  expect(jobOptions()).toMatchObject({ speakers: '3' })
  expect(jobOptions()).not.toHaveProperty('min_speakers')
  preferences.tell_speakers = ''
  for (const name of ['speakers', 'min_speakers', 'max_speakers']) expect(jobOptions()).not.toHaveProperty(name)
  const { speakers } = api.components.schemas.Options.properties
  const [most] = [...JSON.stringify(speakers).matchAll(/\|(\d+)\)\$/g)].map((found) => Number(found[1]))
  expect(MOST_SPEAKERS).toBe(most)
})

it('asks for the way of writing Chinese that the browser or the page prefers', () => {
  const preferred = (languages: string[], page: string | null = null) => {
    vi.stubGlobal('navigator', { languages })
    chosen = page
    return preferredScript()
  }
  expect(preferred(['zh-CN', 'en'])).toBe('simplified')
  expect(preferred(['zh-HK', 'en'])).toBe('traditional')
  expect(preferred(['zh-Hant-TW'], 'zh')).toBe('traditional')
  expect(preferred(['en-US'], 'zh')).toBe('simplified')
  expect(preferred(['en-US', 'de'])).toBe('')
  preferences.chinese = 'auto'
  expect(jobOptions()).not.toHaveProperty('script')
  preferences.chinese = 'recognized'
  expect(jobOptions()).toHaveProperty('script', 'recognized')
  preferences.chinese = 'simplified'
  expect(jobOptions()).toHaveProperty('script', 'simplified')
})

it('shows the options that the service has for each format, and no others', () => {
  const source = readFileSync(new URL('../../whisper_service/export/render.py', import.meta.url), 'utf8')
  const definition = (tuple: string) => source.match(new RegExp(`^${tuple}\\b[^=]*=([^)]*)`, 'm'))![1]!
  const namesIn = (text: string): string[] =>
    [...text.matchAll(/"(\w+)"|\b(_[A-Z]+|STYLE)\b/g)].flatMap(([, name, tuple]) => {
      if (tuple === 'STYLE') return ['columns', 'lines'] // what the page offers of the fields of a caption's style
      return tuple ? namesIn(definition(tuple)) : [name!]
    })
  for (const format of FORMATS) {
    const names = namesIn(source.split('\n').find((each) => each.includes(` = "${format}", Exporter(`))!)
    const has = (name: string) => names.includes(name)
    for (const name of ['columns', 'lines', 'script', 'times', 'word_times', 'bom', 'speakers'] as const)
      expect([format, name, EXPORT_OPTIONS[format].includes(name)]).toEqual([format, name, has(name)])
  }
})

it('remembers for the next visit whether speakers are told apart, and not how many there were', async () => {
  const kept: string[] = []
  vi.stubGlobal('localStorage', { getItem: () => null, setItem: (_: string, value: string) => kept.push(value) })
  Object.assign(preferences, { tell_speakers: '3', least_speakers: 2, most_speakers: 3, track: 1 })
  await Promise.resolve()
  const now = JSON.parse(kept.at(-1)!)
  expect([now.tell_speakers, now.least_speakers, now.most_speakers, now.track]).toEqual(['auto', '', '', ''])
  preferences.tell_speakers = 'off'
  await Promise.resolve()
  expect(JSON.parse(kept.at(-1)!).tell_speakers).toBe('off')
})
