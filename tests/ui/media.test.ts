import { looksLikeMedia } from '../../static/src/media.ts'

it('uploads the recordings of a folder and no other files', () => {
  const files = [
    ['a.MP3', ''],
    ['b', 'video/x-odd'],
    ['notes.txt', 'text/plain'],
    ['cover.jpg', 'image/jpeg'],
    ['c.opus', ''],
  ]
  expect(files.map(([name, type]) => looksLikeMedia({ name: name!, type: type! }))).toEqual([
    true,
    true,
    false,
    false,
    true,
  ])
})
