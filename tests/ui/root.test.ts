import { rootOf } from '../../static/src/root.ts'

it('finds the path of the service in the address of the script', () => {
  expect(rootOf('http://x/static/dist/assets/index-1.js')).toBe('')
  expect(rootOf('http://x/a/whisper/static/dist/assets/index-1.js')).toBe('/a/whisper')
  expect(rootOf('http://localhost:5173/main.ts')).toBe('')
})
