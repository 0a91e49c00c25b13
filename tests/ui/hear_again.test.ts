import { expect, it } from 'vitest'
import { linesIn, partOf, proposalsFor, useHeard } from '../../static/src/hear_again.ts'
import { partOfJob } from '../../static/src/jobs.ts'
import type { Job, Segment } from '../../static/src/types.ts'

const line = (id: string, start: number, end: number, fields: Partial<Segment> = {}): Segment =>
  ({ id, chunk: 0, index: 0, start, end, text: `${id}.`, words: [], language: 'en', version: 3, ...fields }) as Segment
const LINES = [line('a', 0, 2), line('b', 2.1, 4), line('c', 10, 12), line('d', 12, 13)]
const job = (id: string, begin_s: number | null, end_s: number | null, fields: Partial<Job> = {}): Job =>
  ({ id, of: 'one', status: 'completed', duration_s: 60, options: { begin_s, end_s }, ...fields }) as Job

it('hears lines with a little of the pauses around them, and nothing of other lines', () => {
  expect(partOf(LINES, 1, 1)).toEqual({ begin: 2, end: 4.3 })
  expect(partOf(LINES, 1, 2)).toEqual({ begin: 2, end: 12 })
  expect(partOf(LINES, 0, 0)).toEqual({ begin: 0, end: 2.1 })
  expect(partOf(LINES, 3, 3)).toEqual({ begin: 12, end: 13.3 })
})

it('hears a line that overlaps others as a whole', () => {
  expect(partOf([line('a', 0, 5), line('b', 4, 9), line('c', 8, 10)], 1, 1)).toEqual({ begin: 4, end: 9 })
})

it('finds the lines that lie in a part for the most', () => {
  const ids = (begin: number, end: number) => linesIn(LINES, { begin, end }).map(({ id }) => id)
  expect(ids(2, 4.3)).toEqual(['b'])
  expect(ids(0, 12)).toEqual(['a', 'b', 'c'])
  expect(ids(5, 9)).toEqual([])
})

it('knows the proposals for a transcript, in order of time', () => {
  const jobs = [
    job('later', 10, 12),
    job('first', 2, 4),
    job('whole', null, null),
    job('other', 1, 2, { of: 'two' }),
    job('dropped', 1, 2, { status: 'cancelled' }),
  ]
  expect(proposalsFor('one', jobs).map(({ id }) => id)).toEqual(['first', 'later'])
})

it('knows the part of a job', () => {
  expect(partOfJob(job('a', null, null))).toBeNull()
  expect(partOfJob(job('a', 5, null))).toEqual({ begin: 5, end: 60 })
  expect(partOfJob(job('a', null, 7))).toEqual({ begin: 0, end: 7 })
})

it('puts what was heard in the place of lines, with the times of its words', () => {
  const word = { start: 2.2, end: 3, word: ' Once', probability: 0.5 }
  const operation = useHeard(LINES.slice(1, 3), [line('x', 2.2, 3, { text: ' Once', words: [word] })], 'small')
  expect(operation).toMatchObject({ op: 'heard', ids: ['b', 'c'], v: [3, 3], model: 'small' })
  const [made] = (operation as Extract<typeof operation, { op: 'heard' }>).lines
  expect(made).toMatchObject({ start: 2.2, end: 3, text: 'Once', words: [word], language: 'en' })
  expect(made!.id).toMatch(/^[0-9A-Za-z._-]{10,40}$/)
})
