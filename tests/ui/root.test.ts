import { rootOf } from '../../static/src/root.ts'

it('knows where the service is from the address of its script', () => {
  expect(rootOf('http://x/static/dist/assets/index-1.js')).toBe('')
  expect(rootOf('http://x/a/whisper/static/dist/assets/index-1.js')).toBe('/a/whisper')
  expect(rootOf('http://localhost:5173/main.ts')).toBe('')
})
