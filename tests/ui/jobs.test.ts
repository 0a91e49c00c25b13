import {
  actionsOf,
  awaitsFetch,
  countByFilter,
  frontJob,
  idRange,
  isHopeless,
  isListening,
  isSilent,
  lacksMedia,
  matchesFilter,
  queuePlace,
  smallerModel,
  sortWaiting,
  speedOf,
  statusOf,
  summarizeQueue,
} from '../../static/src/jobs.ts'
import type { Job, Model } from '../../static/src/types.ts'

const job = (id: string, status: string, more: object = {}) =>
  ({
    id,
    status,
    rank: 0,
    gaps: [],
    progress: 0,
    position_s: 0,
    duration_s: null,
    eta_s: null,
    ...more,
  }) as unknown as Job

it('tells a recording that still grows from one that has ended', () => {
  const live = (ended: string | null, status = 'processing', phase = 'transcribing') =>
    job('1', status, { phase, live: { ended } })
  expect(
    [live(null), live('client'), live(null, 'paused'), job('1', 'processing', { phase: 'decoding' })].map(isListening),
  ).toEqual([true, false, false, false])
  expect(statusOf(live(null))).toBe('listening')
  expect(statusOf(live(null, 'processing', 'downloading_model'))).toBe('downloading_model')
  expect(statusOf(live('silence'))).toBe('transcribing')
  expect(statusOf(live(null, 'paused'))).toBe('paused')
})

it('sums the jobs in work and the waiting jobs, but no paused or finished ones', () => {
  const jobs = [
    job('1', 'processing', { duration_s: 100, position_s: 40, eta_s: 30, progress: 0.4 }),
    job('2', 'pending', { duration_s: 60 }),
    job('3', 'paused', { duration_s: 500 }),
    job('4', 'completed', { duration_s: 900, progress: 1 }),
  ]
  expect(summarizeQueue(jobs)).toEqual({ jobs: 2, working: 1, audio_s: 120, left_s: 30, progress: 0.2 })
})

it('does not guess the time left before a job knows it', () => {
  expect(summarizeQueue([job('1', 'processing', { duration_s: 10 })]).left_s).toBeNull()
})

it('counts places by rank first, then by age', () => {
  const waiting = [job('1', 'pending'), job('2', 'pending'), job('3', 'pending', { rank: -1 })]
  expect(waiting.map((one) => queuePlace(one, waiting))).toEqual([2, 3, 1])
})

it('sorts the waiting jobs by their turns and leaves the others where they are', () => {
  const jobs = [job('4', 'pending'), job('3', 'processing'), job('2', 'pending', { rank: -1 }), job('1', 'pending')]
  expect(sortWaiting(jobs).map(({ id }) => id)).toEqual(['2', '3', '1', '4'])
})

it('finds the job that was moved to the front', () => {
  expect(frontJob([job('1', 'processing'), job('2', 'pending', { rank: -1 }), job('3', 'pending', { rank: -2 })])).toBe(
    '3',
  )
  expect(frontJob([job('1', 'processing')])).toBeNull()
})

it('has one filter for every status, and counts by filter', () => {
  expect(countByFilter({ pending: 1, processing: 2, paused: 3, completed: 4, failed: 5, cancelled: 6 })).toEqual({
    all: 21,
    active: 6,
    done: 4,
    undone: 11,
  })
  expect(['active', 'done', 'undone'].map((filter) => matchesFilter(job('1', 'cancelled'), filter as 'done'))).toEqual([
    false,
    false,
    true,
  ])
})

it('offers a retry of a completed job for its gaps only', () => {
  expect(actionsOf(job('1', 'completed'))).toEqual([])
  expect(actionsOf(job('1', 'completed', { gaps: [{ start: 0, end: 1, reason: 'hung' }] }))).toEqual(['retry'])
})

it('selects a range of rows in either direction, or one row without a start', () => {
  expect(idRange(['a', 'b', 'c', 'd'], 'c', 'a')).toEqual(['a', 'b', 'c'])
  expect(idRange(['a', 'b'], 'gone', 'b')).toEqual(['b'])
})

it('offers a retry of a completed job for the speakers that it lacks', () => {
  const note = (code: string) => ({ at: 0, code, message: '', params: {} })
  expect(actionsOf(job('1', 'completed', { history: [note('speakers_unavailable')] }))).toEqual(['retry'])
  expect(actionsOf(job('1', 'completed', { history: [note('speakers_incomplete')] }))).toEqual([])
})

it('offers no retry without the recording', () => {
  expect(actionsOf(job('1', 'failed'))).toEqual(['retry'])
  expect(actionsOf(job('1', 'failed', { media_removed: true }))).toEqual([])
  expect(lacksMedia(job('1', 'failed', { media_removed: true }))).toBe(true)
  expect(lacksMedia(job('1', 'completed', { media_removed: true }))).toBe(false)
  expect(lacksMedia(job('1', 'completed', { media_removed: true, gaps: [{ start: 0, end: 1, reason: '' }] }))).toBe(
    true,
  )
})

it('knows which recordings the service has yet to fetch', () => {
  const origin = { url: 'https://example.com/x.mp3', total: null }
  expect(
    [
      job('1', 'pending', { origin, sha256: '' }),
      job('2', 'pending', { origin, sha256: 'x' }),
      job('3', 'paused', { origin, sha256: '' }),
      job('4', 'pending'),
    ].map(awaitsFetch),
  ).toEqual([true, false, false, false])
})

it('offers the next smaller model after memory ran out, an installed one first', () => {
  const model = (name: string, memory_bytes: number | null, state = 'absent', fit = 'cpu') =>
    ({ name, memory_bytes, state, suits: { fit } }) as unknown as Model
  const models = [
    model('tiny', 1, 'installed'),
    model('base', 2),
    model('small', 3),
    model('odd', null, 'installed'),
    model('large', 9, 'installed', 'too_big'),
  ]
  const failed = (code: string, name: string, more: object = {}) =>
    job('1', 'failed', { options: { model: name }, model: null, error: { code }, ...more })
  expect(smallerModel(failed('model_too_big', 'small'), models)).toBe('tiny')
  expect(smallerModel(failed('oom', 'auto', { model: 'small' }), models.slice(1))).toBe('base')
  expect(smallerModel(failed('oom', 'tiny'), models)).toBeNull()
  expect(smallerModel(failed('not_media', 'small'), models)).toBeNull()
  expect(smallerModel(failed('oom', 'small', { media_removed: true }), models)).toBeNull()
  expect(smallerModel(failed('oom', 'unheard-of'), models)).toBeNull()
})

it('offers no retry where only another recording can help', () => {
  const failed = (code: string) => job('1', 'failed', { error: { code } })
  for (const code of ['no_audio', 'not_media', 'empty_file']) {
    expect(isHopeless(failed(code))).toBe(true)
    expect(actionsOf(failed(code))).toEqual([])
  }
  expect(isHopeless(failed('oom'))).toBe(false)
  expect(actionsOf(failed('oom'))).toEqual(['retry'])
})

it('says that a recording has no speech, which is no failure and no success', () => {
  expect(isSilent(job('1', 'completed', { no_speech: true }))).toBe(true)
  expect(statusOf(job('1', 'completed', { chunks_total: 2, no_speech: true }))).toBe('no_speech')
  expect(statusOf(job('1', 'completed', { chunks_total: 0, no_speech: false }))).toBe('completed') // a language only
  expect(statusOf(job('1', 'processing', { phase: 'decoding', chunks_total: 0 }))).toBe('decoding')
})

it('tells a speed only of a long recording that ran alone', () => {
  const done = (id: string, started_at: number, more: object = {}) =>
    job(id, 'completed', { duration_s: 600, started_at, finished_at: started_at + 60, ...more })
  const one = done('1', 1_000)
  expect(speedOf(one, [one, done('2', 1_060), done('3', 900)])).toBe(10)
  expect(speedOf(one, [one, done('2', 1_030)])).toBeNull()
  expect(speedOf(one, [one, job('2', 'processing', { started_at: 1_050, finished_at: null })])).toBeNull()
  expect(speedOf(done('1', 1_000, { duration_s: 11 }), [])).toBeNull()
})
