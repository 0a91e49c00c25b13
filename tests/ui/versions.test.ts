// The versions of a transcript: which they are, what differs, and which corrections of one fit another.
import { apply } from '../../static/src/edit/apply.ts'
import { carryOver, operationsFor, type Version } from '../../static/src/edit/carry_over.ts'
import { differencesOf, sameWords } from '../../static/src/edit/compare.ts'
import { LineList } from '../../static/src/edit/lines.ts'
import { plan } from '../../static/src/edit/rebase.ts'
import { timedWords } from '../../static/src/edit/timed_words.ts'
import { splitWords, wordKey } from '../../static/src/edit/words.ts'
import type { ClientOperation, Job, Segment } from '../../static/src/types.ts'
import { factsOf, hasVersions, versionsOf } from '../../static/src/versions.ts'

const WORD_S = 0.4

/** Lines as a model gives them: each word lasts 0.4 s, and nobody pauses. */
function transcript(texts: string[], begin = 0): Segment[] {
  let time = begin
  return texts.map((text, index) => {
    const words = splitWords(text).map((word) => {
      const start = time
      time += WORD_S
      return { start, end: time, word, probability: 0.9 }
    })
    return {
      id: `c0.${index}`,
      chunk: 0,
      index,
      start: words[0]!.start,
      end: time,
      text,
      words,
      language: null,
      speaker: null,
      version: 0,
      content: '',
      position: index,
      held: false,
      checked: false,
      source: 'machine',
    } as Segment
  })
}
/** Lines after operations, as the session does them. */
function done(lines: Segment[], operations: ClientOperation[]): Segment[] {
  const list = new LineList(lines)
  const acts = plan(lines, operations)
  expect(acts).not.toBeNull()
  apply(
    list,
    acts!.map(({ operation }) => operation),
  )
  return [...list.items]
}
const edited = (lines: Segment[], texts: Record<number, string>): Segment[] =>
  done(
    lines,
    Object.entries(texts).map(([at, text]) =>
      text
        ? { op: 'text', id: `c0.${at}`, v: 0, text }
        : ({ op: 'delete', id: `c0.${at}`, v: 0 } satisfies ClientOperation),
    ),
  )
const textsOf = (lines: readonly Segment[]) => lines.map(({ text }) => text)

/** What becomes of a transcript with the corrections of another one. */
function carried(before: string[], corrections: Record<number, string>, here: string[], begin = 0) {
  const machine = transcript(before)
  const now = transcript(here, begin)
  const found = carryOver({ machine, now: edited(machine, corrections) }, { machine: now, now })
  const texts = found.fitting.length ? textsOf(done(now, operationsFor(found, found.fitting))) : here
  return { found, texts, pairs: found.fitting.map(({ old, now: news }) => [old, news]) }
}

describe('versions', () => {
  const job = (id: string, of: string | null, fields: Partial<Job> = {}): Job =>
    ({
      id,
      of,
      model: null,
      language: null,
      options: { model: 'base', language: null, begin_s: null, end_s: null },
      ...fields,
    }) as Job
  const jobs = (...list: Job[]) => Object.fromEntries(list.map((one) => [one.id, one]))
  const part = { options: { begin_s: 2, end_s: 4 } } as Partial<Job>
  const all = jobs(
    job('c', 'b'),
    job('a', null),
    job('b', 'a'),
    job('p', 'a', part),
    job('x', null),
    job('q', 'p', part),
  )

  it.each(['a', 'b', 'c'])('%s belongs to all that lead to the first job, the oldest first', (id) => {
    expect(versionsOf(id, all).map((one) => one.id)).toEqual(['a', 'b', 'c'])
  })
  it('of another recording there is one, of a part and of an unknown job none', () => {
    expect(['x', 'p', 'y'].map((id) => versionsOf(id, all).length)).toEqual([1, 0, 0])
  })
  it('belong together also if the first one is gone, and a circle of jobs ends', () => {
    expect(versionsOf('c', jobs(job('b', 'gone'), job('c', 'gone'))).map((one) => one.id)).toEqual(['b', 'c'])
    expect(versionsOf('b', jobs(job('b', 'c'), job('c', 'b')))).toHaveLength(1)
  })
  it('are looked for on the pages that may have some', () => {
    expect(['a', 'b', 'c', 'p', 'x', 'q', 'y'].filter((id) => hasVersions(id, all))).toEqual(['a', 'b', 'c'])
    expect(hasVersions('b', jobs(job('b', 'not known yet')))).toBe(true)
  })
  it('tell their model and language', () => {
    expect(factsOf(job('a', null, { model: 'owner/small', language: 'en' }))).toEqual(['small', 'en'])
    expect(factsOf(job('a', null))).toEqual(['base'])
  })
})

describe('corrections', () => {
  const SAID = ['we use cooper netties here', 'and call doctor new when it fails']

  it('of several words fit where their old words stand, with the marks and the capital of this version', () => {
    const { texts, pairs } = carried(SAID, { 0: 'we use Kubernetes here', 1: 'and call Dr. Nguyen when it fails' }, [
      'We use cooper netties, here.',
      'And call doctor new; when it fails.',
    ])
    expect(texts).toEqual(['We use Kubernetes, here.', 'And call Dr. Nguyen; when it fails.'])
    expect(pairs).toEqual([
      ['cooper netties', 'Kubernetes'],
      ['doctor new', 'Dr. Nguyen'],
    ])
  })
  it('fit over other ends of lines', () => {
    const { texts } = carried(SAID, { 0: 'we use Cube Net here' }, [
      'we use cooper',
      'netties here and call doctor',
      'new',
    ])
    expect(texts).toEqual(['we use Cube', 'Net here and call doctor', 'new'])
  })
  it('in Chinese fit by the characters around them', () => {
    const { texts, pairs } = carried(['我们用平果电脑。', '请里雷发言'], { 0: '我们用苹果电脑。', 1: '请李磊发言' }, [
      '今天我们用平果电脑',
      '请里雷发言。',
    ])
    expect(texts).toEqual(['今天我们用苹果电脑', '请李磊发言。'])
    expect(pairs[0]).toEqual(['平', '苹'])
    expect(carried(['用平果'], { 0: '用苹果' }, ['太平洋']).pairs).toEqual([])
  })
  it('of a name that stands twice go to the place of the same words around it', () => {
    const { texts } = carried(['so jon said that jon left'], { 0: 'so jon said that John left' }, [
      'so jon said that jon left',
    ])
    expect(texts).toEqual(['so jon said that John left'])
    const later = carried(
      ['so jon said that jon left'],
      { 0: 'so jon said that John left' },
      ['so jon said that jon left'],
      1.6, // the first one is nearer in time
    )
    expect(later.texts).toEqual(['so jon said that John left'])
  })
  it.each([
    [1.9, 1],
    [-1.9, 1],
    [2.1, 0],
    [-2.1, 0],
  ])('fit if the old words are %s s later, so often: %s', (later, count) => {
    const machine = transcript(SAID, 10)
    const now = transcript(SAID, 10 + later)
    const other = { machine, now: edited(machine, { 0: 'we use Kubernetes here' }) }
    const found = carryOver(other, { machine: now, now })
    expect([found.fitting.length, found.missing.length]).toEqual([count, 1 - count])
  })
  it('that put words in or take words out fit between the same words', () => {
    const { texts, pairs } = carried(
      ['we go home', 'um so it is late', 'bye'],
      { 0: 'now we all go home', 1: 'so it is very late' },
      ['we go home', 'um so it is late', 'bye'],
    )
    expect(texts).toEqual(['now we all go home', 'so it is very late', 'bye'])
    expect(pairs).toEqual([
      ['', 'now'],
      ['', 'all'],
      ['um', ''],
      ['', 'very'],
    ])
  })
  it('that take a line out take it out here too', () => {
    expect(
      carried(['hello there', 'thanks for watching', 'bye'], { 1: '' }, ['hello there', 'thanks for watching', 'bye'])
        .texts,
    ).toEqual(['hello there', 'bye'])
  })
  it('of case and marks fit only where the old form stands', () => {
    expect(carried(['i see paris'], { 0: 'I see Paris.' }, ['i see paris']).texts).toEqual(['I see Paris.'])
    const { found, pairs } = carried(['i see paris'], { 0: 'I see Paris.' }, ['I see Paris.'])
    expect([pairs, found.there, found.missing]).toEqual([[], 2, []])
  })
  it('that stand here already are not listed as missing; others are', () => {
    const { found } = carried(SAID, { 0: 'we use Kubernetes here', 1: 'and call Dr. Nguyen when it fails' }, [
      'we use Kubernetes here',
      'and call the doctor when it fails',
    ])
    expect([found.there, found.missing]).toEqual([1, [{ start: 2.8, old: 'doctor new', now: 'Dr. Nguyen' }]])
  })
  it('leave what a person edited here', () => {
    const machine = transcript(SAID)
    const other: Version = {
      machine,
      now: edited(machine, { 0: 'we use Kubernetes here', 1: 'and always call Dr. Nguyen when it fails' }),
    }
    const wrote = edited(machine, { 0: 'we use copper netties here', 1: 'and call doctor new if it fails' })
    const found = carryOver(other, { machine, now: wrote })
    expect(textsOf(done(wrote, operationsFor(found, found.fitting)))).toEqual([
      'we use copper netties here',
      'and always call Dr. Nguyen if it fails',
    ])
    expect(found.missing.map(({ old }) => old)).toEqual(['cooper netties'])
    const before = transcript(['we use cube net here'])
    const typed = edited(before, { 0: 'we use cooper netties here' })
    expect(carryOver(other, { machine: before, now: typed }).fitting).toEqual([])
    const all = transcript(['and always call'])
    const without = edited(all, { 0: 'and call' })
    expect(carryOver(other, { machine: all, now: without }).fitting).toEqual([])
    const heard = transcript(['we use cooper uh netties here'])
    const cut = edited(heard, { 0: 'we use cooper netties here' })
    expect(carryOver(other, { machine: heard, now: cut }).fitting).toEqual([])
  })
  it('are known in lines that were cut and joined', () => {
    const machine = transcript(['we use cooper netties here', 'and it works', 'most days'])
    const now = done(machine, [
      { op: 'split', id: 'c0.0', v: 0, at: 6, new: 'newline0001' },
      { op: 'merge', ids: ['c0.1', 'c0.2'], v: [0, 0] },
      { op: 'text', id: 'c0.1', v: 0, text: 'and it works most nights' },
    ])
    const found = carryOver({ machine, now }, { machine, now: machine })
    expect(found.fitting.map(({ old, now: news }) => [old, news])).toEqual([['days', 'nights']])
  })
  it('whole lines that a person wrote have no place in another line', () => {
    const machine = transcript(['one two', 'three four'])
    const now = done(machine, [
      { op: 'insert', new: 'newline0001', after: 'c0.0', start: 0.7, end: 0.8, text: 'extra' },
    ])
    const found = carryOver({ machine, now }, { machine, now: machine })
    expect([found.fitting, found.missing.map((one) => one.now)]).toEqual([[], ['extra']])
  })
  it('of which some are chosen are done alone', () => {
    const machine = transcript(SAID)
    const now = edited(machine, { 0: 'they use cooper netties there' })
    const found = carryOver({ machine, now }, { machine, now: machine })
    expect(operationsFor(found, found.fitting.slice(1))).toEqual([
      { op: 'text', id: 'c0.0', v: 0, text: 'we use cooper netties there' },
    ])
    expect(operationsFor(found, [])).toEqual([])
  })
})

/** Numbers from 0 to 1, the same in every run. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32
    return state / 2 ** 32
  }
}
describe.each(['latin', 'han'])('whatever people change (%s)', (script) => {
  const SEEDS = [...Array(60).keys()]
  const HAN = '天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜金生丽水玉出昆冈'
  const drawn = (seed: number) => {
    const next = numbers(seed + 1)
    const draw = (count: number) => Math.floor(next() * count)
    const word = (news = '') =>
      script === 'han' ? (news ? '龍' : HAN[draw(HAN.length)]!) : `${news}${'abcdefgh'[draw(8)]}${draw(12)}`
    const joint = script === 'han' ? '' : ' '
    const texts = Array.from({ length: 3 + draw(6) }, () => Array.from({ length: 4 + draw(9) }, () => word()))
    const machine = transcript(texts.map((words) => words.join(joint)))
    const change = (share: number, news: string) =>
      edited(
        machine,
        Object.fromEntries(
          texts.flatMap((words, at) => {
            const now = words.map((one) => (next() < share ? word(news) : one))
            return now.join() === words.join() ? [] : [[at, now.join(joint)]]
          }),
        ),
      )
    return { machine, change }
  }

  it('all of it is found in the same text, is done, and is there then', () => {
    let count = 0
    for (const seed of SEEDS) {
      const { machine, change } = drawn(seed)
      const now = change(0.15, 'New')
      const found = carryOver({ machine, now }, { machine, now: machine })
      expect(found.missing).toEqual([])
      count += found.fitting.length
      if (!found.fitting.length) continue
      expect(textsOf(done(machine, operationsFor(found, found.fitting)))).toEqual(textsOf(now))
      const again = carryOver({ machine, now }, { machine, now })
      expect([again.fitting, again.missing]).toEqual([[], []])
    }
    expect(count).toBeGreaterThan(60)
  })
  it('every word that a person wrote here stays, and so do the words that no correction names', () => {
    let both = 0
    for (const seed of SEEDS) {
      const { machine, change } = drawn(seed)
      const other = change(0.2, 'New')
      const mine = change(0.2, 'Mine')
      const found = carryOver({ machine, now: other }, { machine, now: mine })
      if (!found.fitting.length) continue
      const result = timedWords(done(mine, operationsFor(found, found.fitting))).map(({ text }) => text)
      const before = timedWords(mine)
      const named = new Set(
        found.fitting.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, at) => from + at)),
      )
      const kept = before.filter((_, at) => !named.has(at)).map(({ text }) => text)
      const left = [...result]
      for (const word of kept) {
        const at = left.indexOf(word)
        expect(at).toBeGreaterThanOrEqual(0)
        left.splice(0, at + 1)
      }
      const heard = timedWords(machine)
      before.forEach(({ text }, at) => text !== heard[at]!.text && expect(named.has(at)).toBe(false))
      both += mine === machine ? 0 : 1
    }
    expect(both).toBeGreaterThan(30)
  })
  it('nothing is proposed for another time, or without corrections', () => {
    for (const seed of SEEDS.slice(0, 10)) {
      const { machine, change } = drawn(seed)
      const later = machine.map((line) => ({
        ...line,
        start: line.start + 900,
        end: line.end + 900,
        words: line.words.map((word) => ({ ...word, start: word.start + 900, end: word.end + 900 })),
      }))
      expect(carryOver({ machine, now: change(0.3, 'New') }, { machine: later, now: later }).fitting).toEqual([])
      expect(carryOver({ machine, now: machine }, { machine, now: machine })).toMatchObject({
        fitting: [],
        missing: [],
        there: 0,
      })
    }
  })
})

describe('a comparison', () => {
  const words = (...texts: string[]) => timedWords(transcript(texts))

  it('names what differs with the words around it, and neither case, marks nor ends of lines', () => {
    const found = differencesOf(
      words('We use cooper netties here.', 'And it is late'),
      words('we use Kubernetes', 'here and, it was late now'),
    )
    expect(found.map(({ before, mine, theirs, after, line }) => [before, mine, theirs, after, line])).toEqual([
      ['We use', 'cooper netties', 'Kubernetes', 'here. And it is', 'c0.0'],
      ['netties here. And it', 'is', 'was', 'late', 'c0.1'],
      ['And it is late', '', 'now', '', 'c0.1'],
    ])
  })
  it('of texts of which one is empty names all of it', () => {
    expect(differencesOf([], words('one two'))).toMatchObject([{ mine: '', theirs: 'one two', line: null }])
    expect(differencesOf(words('one two'), [])).toMatchObject([{ mine: 'one two', theirs: '' }])
    expect(differencesOf([], [])).toEqual([])
  })
  it('of a long text finds each difference and no other, however far apart the words are by now', () => {
    const next = numbers(7)
    const long = Array.from({ length: 400 }, (_, at) =>
      Array.from({ length: 10 }, (_, nth) => `w${Math.floor(next() * 90)}${nth ? '' : `x${at}`}`).join(' '),
    )
    const other = long.map((text, at) => (at % 10 === 5 ? `${text} added${at}` : text))
    const found = differencesOf(words(...long), words(...other))
    expect(found.map(({ mine, theirs }) => [mine, theirs])).toEqual(
      long.flatMap((_, at) => (at % 10 === 5 ? [['', `added${at}`]] : [])),
    )
  })
  it('pairs only equal words, in order', () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const next = numbers(seed)
      const draw = () =>
        words(
          ...Array.from({ length: 60 }, () =>
            Array.from({ length: 9 }, () => 'abcdef'[Math.floor(next() * 6)]).join(' '),
          ),
        )
      const [mine, theirs] = [draw(), draw()]
      const found = sameWords(mine, theirs)
      expect(found.length).toBeGreaterThan(100)
      found.forEach(([one, other], at) => {
        expect(wordKey(mine[one]!.raw)).toBe(wordKey(theirs[other]!.raw))
        if (at) expect(one > found[at - 1]![0] && other > found[at - 1]![1]).toBe(true)
      })
    }
  })
})
