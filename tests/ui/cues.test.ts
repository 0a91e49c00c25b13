// Subtitles of the page: the same problems as tests/unit/export/test_cue_problems.py, and edits that the service has not made yet.
import shared from './cues.json'
import { apply } from '../../static/src/edit/apply.ts'
import {
  broken,
  carried,
  columns,
  exactClock,
  problemsOf,
  secondsOf,
  speedOf,
} from '../../static/src/edit/cue_rules.ts'
import { cueBlocks, placeIn, withNewCue } from '../../static/src/edit/cue_rows.ts'
import { cueOfTyped, overlaid, toFetched } from '../../static/src/edit/cues_overlaid.ts'
import { retimed } from '../../static/src/edit/cue_times.ts'
import { LineList } from '../../static/src/edit/lines.ts'
import { plan } from '../../static/src/edit/rebase.ts'
import { heard } from './fake_service.ts'

const STYLE = {
  ...{
    line_columns: 42,
    cjk_line_columns: 32,
    lines: 2,
    chars_per_s: 17,
    cjk_chars_per_s: 9,
  },
  ...{ min_s: 0.833, max_s: 7, gap_s: 0.083, pause_s: 1, linger_s: 1 },
}

it.each(shared as any[])('problems: $name', ({ rows, start, end, after, problems, speed }) => {
  expect(problemsOf(rows, start, end, after, STYLE)).toEqual(problems)
  expect(Math.round(100 * speedOf(rows, start, end)) / 100).toBe(speed)
})

it.each([
  ['We went down.', ['We went down.']],
  [
    'When the rain had stopped and the road was dry again,',
    ['When the rain had stopped', 'and the road was dry again,'],
  ],
  ['今天我们来讨论一下人工智能的发展历史', ['今天我们来讨论一下', '人工智能的发展历史']],
  ['今天我们来讨论一下，人工智能的发展', ['今天我们来讨论一', '下，人工智能的发展']],
  ['a'.repeat(50), ['a'.repeat(50)]],
  [
    'one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen',
    ['one two three four five six seven eight', 'nine ten eleven twelve thirteen fourteen', 'fifteen sixteen'],
  ],
])('rows of %s', (text, rows) => {
  expect(broken(text, STYLE)).toEqual(rows)
  expect(columns(rows[0]!)).toBeGreaterThan(0)
})

it.each([
  ['typed in the middle', 'one two', 'one big two', { 0: 0, 4: 4, 5: 9, 7: 11 }],
  ['taken away in the middle', 'one big two', 'one two', { 0: 0, 4: 4, 6: 4, 8: 4, 9: 5, 11: 7 }],
  ['written anew', 'abc', 'xyz', { 0: 0, 1: 3, 3: 3 }],
  ['the same', 'abc', 'abc', { 0: 0, 2: 2, 3: 3 }],
  ['with wide emoji', '👍 a b', '👍👍 a b', { 0: 0, 2: 3, 4: 5 }],
])('places after a text was %s', (_, before, now, places) => {
  const place = carried(before, now)
  for (const [at, to] of Object.entries(places)) expect([at, place(Number(at))]).toEqual([at, to])
})

it.each([
  ['83.4', 83.4],
  ['1:23.4', 83.4],
  ['1:02:03,45', 3723.45],
  [' 0:01 ', 1],
  ['90:00', 5400],
  ['5.', 5],
  ['0.12345', 0.123],
  ['', null],
  ['1:60', null],
  ['1:60:00', null],
  ['-1', null],
  ['1:2:3:4', null],
  ['abc', null],
  ['1e3', null],
])('the time that is typed as "%s"', (typed, seconds) => expect(secondsOf(typed)).toBe(seconds))

it('writes a time as it is read', () => {
  for (const [seconds, text] of [
    [0, '0:00.000'],
    [83.4, '1:23.400'],
    [59.9996, '1:00.000'],
    [3723.45, '1:02:03.450'],
  ] as const) {
    expect(exactClock(seconds)).toBe(text)
    expect(secondsOf(text)).toBe(Math.round(seconds * 1000) / 1000)
  }
})

/** What the service says of lines: [start, end, parts as "line:begin-end", rows] for each subtitle. */
function listed(lines: any[], ...cues: [number, number, string, string[], object?][]): any {
  const version = new Map(lines.map(({ id, version }) => [id, version]))
  return {
    edits: 0,
    style: STYLE,
    cues: cues.map(([start, end, parts, rows, more]) => ({
      ...{ start, end, rows, speaker: null, held: false, gap: false },
      ...{
        speed: speedOf(rows, start, end),
        problems: problemsOf(rows, start, end, null, STYLE),
      },
      parts: parts.split(' ').flatMap((part) => {
        const [, line, begin, stop] = /^(.+):(\d+)-(\d+)$/.exec(part) ?? []
        return line
          ? [
              {
                line,
                version: version.get(line),
                begin: Number(begin),
                end: Number(stop),
              },
            ]
          : []
      }),
      ...more,
    })),
  }
}
const edited = (lines: any[], ...operations: any[]) => {
  const list = new LineList(lines)
  apply(
    list,
    plan(lines, operations)!.map(({ operation }) => operation),
  )
  return list.items
}
const shown = (cues: any[]) => cues.map(({ key, text, start, end }) => [key, text, start, end])

const RIVER = 'We went down to the river. Nobody had seen the boat.'
const lines = () => [heard(0, RIVER), heard(1, 'He said that'), heard(2, 'nobody came.'), heard(3, 'Yes.')]
const CUES = (all: any[]) =>
  listed(
    all,
    [0, 2.4, 'c0.0:0-26', ['We went down to the river.']],
    [2.5, 5, 'c0.0:27-52', ['Nobody had seen the boat.']],
    [6, 8, '', ['[not transcribed]'], { gap: true }],
    [10, 22, 'c0.1:0-12 c0.2:0-12', ['He said that', 'nobody came.']],
    [30, 31, 'c1.0:0-4', ['Yes.']],
  )

it('shows what the service made while nothing changed, and the same objects after it was fetched again', () => {
  const now = lines()
  const fetched = toFetched(CUES(now), now)
  const first = overlaid(fetched, now, [])
  expect(shown(first)).toEqual([
    ['c0.0', 'We went down to the river.', 0, 2.4],
    ['c0.0:27', 'Nobody had seen the boat.', 2.5, 5],
    ['gap 6', '[not transcribed]', 6, 8],
    ['c0.1', 'He said that nobody came.', 10, 22],
    ['c1.0', 'Yes.', 30, 31],
  ])
  const again = overlaid(toFetched(CUES(now), now, first), now, first)
  again.forEach((cue, at) => expect(cue).toBe(first[at]))
})

it('shows an edit at once, in the subtitle where it was made', () => {
  const now = lines()
  const fetched = toFetched(CUES(now), now)
  const first = overlaid(fetched, now, [])
  const after = edited(now, {
    op: 'text',
    id: 'c0.0',
    v: 0,
    text: RIVER.replace('river.', 'wide river!'),
  })
  const cues = overlaid(fetched, after, first)
  expect(shown(cues).slice(0, 2)).toEqual([
    ['c0.0', 'We went down to the wide river!', 0, 2.4],
    ['c0.0:27', 'Nobody had seen the boat.', 2.5, 5],
  ])
  expect(cues.slice(2)).toEqual(first.slice(2))
  expect(cues[3]).toBe(first[3])
  expect(cues[0]!.parts).toEqual([{ line: 'c0.0', begin: 0, end: 32 }])
  expect(cues[1]!.parts).toEqual([{ line: 'c0.0', begin: 32, end: 57 }])
  const joined = edited(now, {
    op: 'text',
    id: 'c0.2',
    v: 0,
    text: 'nobody came at all.',
  })
  expect(shown(overlaid(fetched, joined, first))[3]).toEqual(['c0.1', 'He said that nobody came at all.', 10, 22])
  const gone = edited(now, {
    op: 'text',
    id: 'c0.0',
    v: 0,
    text: 'We went down to the river.',
  })
  expect(shown(overlaid(fetched, gone, first)).map(([key]) => key)).toEqual(['c0.0', 'gap 6', 'c0.1', 'c1.0'])
  const deleted = edited(now, { op: 'delete', id: 'c0.1', v: 0 })
  expect(shown(overlaid(fetched, deleted, first))[3]).toEqual(['c0.2', 'nobody came.', 10, 22])
})

it('marks a subtitle that an edit makes too fast, and one that overlaps the next', () => {
  const now = lines()
  const fetched = toFetched(CUES(now), now)
  const long = edited(now, {
    op: 'text',
    id: 'c1.0',
    v: 0,
    text: 'Yes, of course, at once, and with pleasure.',
  })
  expect(overlaid(fetched, long, []).at(-1)!.problems).toEqual(['too_fast', 'too_long'].slice(0, 1))
  const timed = edited(now, {
    op: 'time',
    id: 'c1.0',
    v: 0,
    start: 21,
    end: 21.5,
  })
  const cues = overlaid(fetched, timed, [])
  expect(cues.at(-1)).toMatchObject({
    key: 'c1.0',
    start: 21,
    end: 21.5,
    held: true,
    problems: ['too_short'],
  })
  expect(cues.at(-2)).toMatchObject({ key: 'c0.1', problems: ['overlaps'] })
})

it('gives a subtitle that is a whole line its times in one operation', () => {
  const now = lines()
  const [, , , , yes] = overlaid(toFetched(CUES(now), now), now, [])
  expect(retimed(yes!, now, 30.0004, 31.2)).toEqual({
    line: 'c1.0',
    operations: [{ op: 'time', id: 'c1.0', v: 0, start: 30, end: 31.2 }],
  })
  expect(retimed(yes!, now, 31, 31)).toBe(null)
  expect(retimed(yes!, now.slice(0, 3), 30, 31)).toBe(null)
})

it.each([
  [
    'the beginning of a line',
    0,
    ['We went down to the river.', 'Nobody had seen the boat.', 'He said that', 'nobody came.', 'Yes.'],
  ],
  [
    'the end of a line',
    1,
    ['We went down to the river.', 'Nobody had seen the boat.', 'He said that', 'nobody came.', 'Yes.'],
  ],
  ['two lines', 3, [RIVER, 'He said that nobody came.', 'Yes.']],
])('makes a line of its own of a subtitle that is %s', (_, at, texts) => {
  const now = lines()
  const fetched = toFetched(CUES(now), now)
  const first = overlaid(fetched, now, [])
  const cue = first[at]!
  const done = retimed(cue, now, cue.start + 0.1, cue.end + 0.2)!
  const after = edited(now, ...done.operations)
  expect(after.map(({ text }) => text.trim())).toEqual(texts)
  const line = after.find(({ id }) => id === done.line)!
  expect(line).toMatchObject({
    text: cue.text,
    held: true,
    start: cue.start + 0.1,
    end: cue.end + 0.2,
  })
  // It is a subtitle with these times at once, and the others keep their texts.
  const cues = overlaid(fetched, after, first)
  expect(cues.filter(({ held }) => held).map(({ key, text }) => [key, text])).toEqual([[done.line, cue.text]])
  expect(cues.map(({ text }) => text)).toEqual(first.map(({ text }) => text))
})

it('cuts a middle part of a line off on both sides', () => {
  const now = [heard(0, 'One two three four five six.')]
  const cues = listed(
    now,
    [0, 1, 'c0.0:0-7', ['One two']],
    [1.1, 2, 'c0.0:8-18', ['three four']],
    [2.1, 3, 'c0.0:19-28', ['five six.']],
  )
  const [, middle] = overlaid(toFetched(cues, now), now, [])
  const done = retimed(middle!, now, 0.9, 2)!
  expect(edited(now, ...done.operations).map(({ text, held }) => [text.trim(), held])).toEqual([
    ['One two', false],
    ['three four', true],
    ['five six.', false],
  ])
})

it('counts the spaces that a model writes before a line', () => {
  const now = [{ ...heard(0, 'One two three four.'), text: ' One two three four.' }]
  const cues = listed(now, [0, 1, 'c0.0:0-7', ['One two']], [1.1, 2, 'c0.0:8-19', ['three four.']])
  const [, second] = overlaid(toFetched(cues, now), now, [])
  const done = retimed(second!, now, 1, 2)!
  expect(edited(now, ...done.operations).map(({ text }) => text.trim())).toEqual(['One two', 'three four.'])
})

it('shows each key in the subtitle that is typed into', () => {
  const now = lines()
  const cues = overlaid(toFetched(CUES(now), now), now, [])
  const [first, second] = cues.slice(0, 2) as [any, any]
  const text = RIVER.replace('boat.', 'white boat.')
  expect(cueOfTyped(first, [first, second], 'c0.0', RIVER, text, STYLE).rows).toEqual(['We went down to the river.'])
  expect(cueOfTyped(second, [first, second], 'c0.0', RIVER, text, STYLE).rows).toEqual([
    'Nobody had seen the white boat.',
  ])
  const both = cues[3]!
  expect(cueOfTyped(both, [both], 'c0.2', 'nobody came.', 'nobody came  home.', STYLE).text).toBe(
    'He said that nobody came home.',
  )
  expect(cueOfTyped(cues[4]!, [cues[4]!], 'c1.0', 'Yes.', ' ', STYLE).rows).toEqual([])
})

it('keeps the name of who speaks before a text that is typed', () => {
  const now = [heard(0, 'Yes, please.')]
  const [cue] = overlaid(
    toFetched(listed(now, [0, 2, 'c0.0:0-12', ['Anna: Yes, please.'], { speaker: 'Anna' }]), now),
    now,
    [],
  )
  expect(cueOfTyped(cue!, [cue!], 'c0.0', 'Yes, please.', 'No, thanks.', STYLE).text).toBe('Anna: No, thanks.')
})

it('finds the place in a line of what is clicked in its subtitle', () => {
  const now = lines()
  const cues = overlaid(toFetched(CUES(now), now), now, [])
  expect(placeIn(cues[0]!, 3, now)).toEqual({ id: 'c0.0', offset: 3 })
  expect(placeIn(cues[1]!, 7, now)).toEqual({ id: 'c0.0', offset: 34 })
  expect(placeIn(cues[1]!, 99, now)).toEqual({ id: 'c0.0', offset: RIVER.length })
  expect(placeIn(cues[3]!, 13, now)).toEqual({ id: 'c0.2', offset: 0 }) // behind the space between the rows
  expect(placeIn(cues[2]!, 3, now)).toBe(null)
  const named = { ...cues[4]!, speaker: 'Anna', text: 'Anna: Yes.', rows: ['Anna: Yes.'] }
  expect(placeIn(named, 2, now)).toEqual({ id: 'c1.0', offset: 0 })
  expect(placeIn(named, 8, now)).toEqual({ id: 'c1.0', offset: 2 })
})

it('cuts rows into blocks, and draws only those again in which something changed', () => {
  const now = Array.from({ length: 60 }, (_, nth) => heard(nth, `Line ${nth}.`))
  const all = listed(
    now,
    ...now.map(({ id, text }, nth) => [nth * 10, nth * 10 + 2, `${id}:0-${text.length}`, [text]] as any),
  )
  const cues = overlaid(toFetched(all, now), now, [])
  const rows = (some: any[]) => some.map((cue, at) => ({ key: cue.key, number: at + 1, cue }))
  const blocks = cueBlocks(rows(cues))
  expect(blocks.map((block) => block.length)).toEqual([25, 25, 10])
  const changed = cues.with(30, { ...cues[30]!, text: 'Other.' })
  const after = cueBlocks(rows(changed), blocks)
  expect(after.map((block, at) => block === blocks[at])).toEqual([true, false, true])
  const fresh = { id: 'n1', after: cues[1]!.key, start: 15, end: 16 }
  expect(
    withNewCue(rows(cues), fresh)
      .map(({ key }) => key)
      .slice(0, 4),
  ).toEqual([cues[0]!.key, cues[1]!.key, 'n1', cues[2]!.key])
  expect(withNewCue(rows(cues), null)).toHaveLength(60)
})
