import { columns } from '../../static/src/peaks.ts'

it('takes the loudest value of each stretch', () => {
  expect(columns(new Int8Array([-10, 20, -127, 5, 0, 0, -1, 64]), 2).map((loud) => Math.round(loud * 127))).toEqual([
    127, 64,
  ])
  expect(columns(new Int8Array([]), 2)).toEqual([0, 0])
})
