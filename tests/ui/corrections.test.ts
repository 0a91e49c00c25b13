// What the vocabulary learns from corrections.
import { correctionOf, count, type Counts } from '../../static/src/edit/corrections.ts'

it.each([
  ['We use cooper netties here.', 'We use Kubernetes here.', { heard: 'cooper netties', term: 'Kubernetes' }],
  ['我们用平果。', '我们用苹果。', null], // one character may be anything
  ['请李磊发言。', '请李雷雷发言。', null],
  ['请里雷来。', '请李蕾来。', { heard: '里雷', term: '李蕾' }],
  ['Hello, lee lay.', 'Hello, Li Lei.', { heard: 'lee lay', term: 'Li Lei' }],
  ['the cat', 'the dog, the dog', null],
  ['one two three four five six', 'a b c d e', null],
  ['Hello', 'Hello!', null],
  ['Hello there', 'Hello', null],
  ['same', 'same', null],
  ['a b c d', 'x b y d', null],
])('%s → %s', (before, after, expected) => {
  expect(correctionOf(before, after)).toEqual(expected)
})

it('offers a term once, when a correction is made for the second time', () => {
  const counts: Counts = {}
  const one = { heard: 'cooper netties', term: 'Kubernetes' }
  expect([count(counts, one), count(counts, { ...one, term: 'K8s' })]).toEqual([false, false])
  expect([count(counts, one), count(counts, one), count(counts, one)]).toEqual([true, false, false])
})

it('forgets what was corrected long ago', () => {
  const counts: Counts = {}
  for (let nth = 0; nth < 300; nth += 1) count(counts, { heard: `a${nth}`, term: 'b' })
  expect(Object.keys(counts)).toHaveLength(200)
  expect(counts['a299\nb']).toBe(1)
})
