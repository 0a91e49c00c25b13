import { allDoubts, doubtsOf, nextDoubt } from '../../static/src/edit/doubts.ts'

const word = (text: string, probability: number, by?: string) => ({ start: 0, end: 1, word: text, probability, by })
const line = (text: string, words: any[], more = {}) => ({ text, words, checked: false, ...more }) as any

it('doubts what the model was unsure of, unless a person wrote or checked it', () => {
  const words = [word(' the', 0.9), word(' old', 0.59), word(' the', 0.3), word(' cat', 0.6)]
  const said = line(' the old the cat', words)
  expect(doubtsOf(said)).toEqual([
    { from: 4, to: 7, probability: 0.59 },
    { from: 8, to: 11, probability: 0.3 },
  ])
  expect(doubtsOf({ ...said, checked: true })).toEqual([])
  const edited = line('the new the cat', [
    words[0],
    word(' new', 0.5, 'aligned'),
    word(' the', 0.3, 'machine'),
    words[3],
  ])
  expect(doubtsOf(edited)).toEqual([{ from: 8, to: 11, probability: 0.3 }])
  expect(doubtsOf(line('那么', [word('那', 0.2), word('么', 0.9)]))).toEqual([{ from: 0, to: 1, probability: 0.2 }])
})

it('walks from doubt to doubt in both directions and around', () => {
  const doubts = allDoubts([line('a b', [word('a', 0.1), word('b', 0.1)]), line('c', []), line('d', [word('d', 0.2)])])
  const at = (index: number, offset: number, step: 1 | -1) => {
    const found = nextDoubt(doubts, { index, offset }, step)!
    return [found.index, found.from]
  }
  expect(at(0, -1, 1)).toEqual([0, 0])
  expect(at(0, 0, 1)).toEqual([0, 2])
  expect(at(0, 2, 1)).toEqual([2, 0])
  expect(at(2, 0, 1)).toEqual([0, 0])
  expect(at(2, 0, -1)).toEqual([0, 2])
  expect(at(0, 0, -1)).toEqual([2, 0])
  expect(nextDoubt([], { index: 0, offset: 0 }, 1)).toBeUndefined()
})
