import {
  limitsOf,
  limitsOfWhole,
  placed,
  stepped,
  targetsOfWhole,
  within,
  withEdge,
} from '../../static/src/edit/edges.ts'
import { fitted, nextSpan, scrolledTo, SPANS, spansFor, tickStep, tilesAt, turned } from '../../static/src/edit/zoom.ts'

const one = { id: 'a', start: 10, end: 12 }
const two = { id: 'b', start: 13, end: 15 }
const three = { id: 'c', start: 15.05, end: 18 }

describe('the limits of an edge', () => {
  it('are the neighbours, with the gap between subtitles', () => {
    expect(limitsOf(two, 'end', one, three, 0, 60)).toEqual({ least: 13.1, most: 15.05 })
    expect(limitsOf(one, 'end', undefined, two, 0.083, 60)).toEqual({ least: 10.1, most: 12.917 })
    expect(limitsOf(two, 'start', one, three, 0.083, 60)).toEqual({ least: 12.083, most: 14.9 })
  })
  it('are the recording where there is no neighbour', () => {
    expect(limitsOf(one, 'start', undefined, two, 0.083, 60).least).toBe(0)
    expect(limitsOf(three, 'end', two, undefined, 0.083, 60).most).toBe(60)
  })
  it('leave an edge that is beyond them where it is', () => {
    const over = { id: 'd', start: 14, end: 16 }
    expect(limitsOf(over, 'start', two, undefined, 0, 60)).toEqual({ least: 14, most: 15.9 })
    expect(limitsOf(two, 'end', one, over, 0, 60)).toEqual({ least: 13.1, most: 15 })
    const short = { id: 'e', start: 20, end: 20.02 }
    expect(limitsOf(short, 'end', two, undefined, 0, 60).least).toBe(20.02)
    expect(limitsOf(three, 'end', two, undefined, 0, 17.5).most).toBe(18) // behind the end of the recording
  })
})

describe('an edge that is dragged', () => {
  const limits = { least: 13.1, most: 14.967 }
  it('stops at its limits', () => {
    expect(placed(99, limits, [], 0.1)).toBe(14.967)
    expect(placed(-1, limits, [], 0)).toBe(13.1)
  })
  it('holds on to the nearest target within reach, and to none beyond the limits', () => {
    expect(placed(14.02, limits, [13.95, 14.05], 0.1)).toBe(14.05)
    expect(placed(14.02, limits, [13.9, 14.2], 0.1)).toBe(14.02)
    expect(placed(14.5, limits, [14.58], 0.08)).toBe(14.58)
    expect(placed(14.5, limits, [14.581], 0.08)).toBe(14.5)
    expect(placed(14.93, limits, [15], 0.1)).toBe(14.967)
  })
  it('stands at full hundredths else', () => {
    expect(placed(14.0234, limits, [], 0)).toBe(14.02)
  })
})

describe('a stretch that is moved as a whole', () => {
  it('keeps the limits of both of its edges, and its length', () => {
    expect(limitsOfWhole(two, one, three, 0, 60)).toEqual({ least: 12, most: 13.05 })
    expect(limitsOfWhole(two, one, three, 0.083, 60)).toEqual({ least: 12.083, most: 13 }) // the gap behind is too short
    expect(limitsOfWhole(one, undefined, two, 0.083, 60)).toEqual({ least: 0, most: 10.917 })
    expect(limitsOfWhole(three, two, undefined, 0, 60)).toEqual({ least: 15, most: 57.05 })
    const moved = withEdge(three, 'whole', 57.05)
    expect([moved.id, moved.start, moved.end]).toEqual(['c', 57.05, expect.closeTo(60, 9)])
  })
  it('stays where it is if there is no room', () => {
    const over = { id: 'd', start: 14, end: 16 }
    expect(limitsOfWhole(over, two, { ...three, start: 15.5 }, 0, 60)).toEqual({ least: 14, most: 14 })
  })
  it('holds on with either edge', () => {
    const limits = limitsOfWhole(two, one, undefined, 0, 60)
    const at = (wanted: number) => placed(wanted, limits, targetsOfWhole(two, [20]), 0.1)
    expect([at(20.05), at(18.05), at(17.95), at(18.2)]).toEqual([20, 18, 18, 18.2])
  })
})

it('moves an edge by 10 ms, with Shift by 100 ms, and to its limits', () => {
  const limits = { least: 13.1, most: 14.967 }
  expect(stepped('ArrowRight', false, 14, limits)).toBe(14.01)
  expect(stepped('ArrowUp', true, 14, limits)).toBe(14.1)
  expect(stepped('ArrowLeft', false, 14, limits)).toBe(13.99)
  expect(stepped('ArrowDown', true, 13.15, limits)).toBe(13.1)
  expect(stepped('Home', false, 14, limits)).toBe(13.1)
  expect(stepped('End', false, 14, limits)).toBe(14.967)
  expect(stepped('a', false, 14, limits)).toBeNull()
})

it('finds what lies between two times, also what began long before', () => {
  const long = { id: 'long', start: 0, end: 100 }
  expect(within([one, two, three], 12, 15).map(({ id }) => id)).toEqual(['b'])
  expect(within([long, one, two, three], 14, 15.1).map(({ id }) => id)).toEqual(['long', 'b', 'c'])
  expect(within([one, two, three], 20, 30)).toEqual([])
})

describe('the zoom', () => {
  it('goes from 10 s to 10 min in steps, from any zoom between', () => {
    expect([SPANS[0], SPANS.at(-1)]).toEqual([10, 600])
    expect([nextSpan(20, 1), nextSpan(20, -1), nextSpan(23.7, 1), nextSpan(23.7, -1)]).toEqual([15, 30, 20, 30])
    expect([nextSpan(10, 1), nextSpan(600, -1)]).toEqual([10, 600])
  })
  it('stays within what browsers can lay out', () => {
    expect(spansFor(36_000, 1280)).toEqual({ least: 10, most: 600 })
    const { least } = spansFor(360_000, 1280)
    expect((360_000 * 1280) / least).toBeLessThanOrEqual(16_000_000)
    expect(fitted(10, 360_000, 1280)).toBe(least)
    expect(fitted(2_000, 60, 1280)).toBe(600)
  })
  it('keeps what is under the pointer there', () => {
    // 20 s on 1000 pixels: 100 s are at 5000, and shall stay 300 pixels from the left edge
    const left = scrolledTo(100, 300, 1000, 20)
    expect(left).toBe(4700)
    expect(scrolledTo(100, 300, 1000, 10) + 300).toBe(100 * 100)
    expect(scrolledTo(1, 300, 1000, 20)).toBe(0)
  })
  it('draws three tiles: what is in sight, and the nearest one', () => {
    expect(tilesAt(0, 1000)).toEqual([0, 1, 2])
    expect(tilesAt(4400, 1000)).toEqual([3, 4, 5])
    expect(tilesAt(4600, 1000)).toEqual([4, 5, 6])
    for (let left = 0; left < 10_000; left += 37)
      for (const px of [left, left + 999]) expect(tilesAt(left, 1000)).toContain(Math.floor(px / 1000))
  })
  it('turns the page when what plays leaves it', () => {
    expect(turned(115, 100, 20, true)).toBeNull()
    expect(turned(118.5, 100, 20, true)).toBe(116.5)
    expect(turned(118.5, 100, 20, false)).toBeNull() // a click there turns nothing
    expect(turned(99, 100, 20, true)).toBe(97)
    expect(turned(0.5, 100, 20, false)).toBe(0)
  })
  it('has room for each mark of the time', () => {
    for (const span of SPANS) expect(tickStep(1280 / span) * (1280 / span)).toBeGreaterThanOrEqual(72)
    expect(tickStep(64)).toBe(2)
  })
})
