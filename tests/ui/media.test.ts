import { ACCEPT, endingOf, looksLikeMedia, titleOf, withTitle } from '../../static/src/media.ts'

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

it('takes sound of telephones and dictation machines', () => {
  for (const name of ['a.amr', 'b.GSM', 'c.dss', 'd.sln16', 'e.ulaw', 'f.alaw', 'g.g722', 'h.au', 'i.caf', 'j.w64']) {
    expect(looksLikeMedia({ name, type: '' }), name).toBe(true)
    expect(ACCEPT.split(','), name).toContain(`.${name.split('.')[1]!.toLowerCase()}`)
  }
})

it('shows the name of a recording without its ending, and keeps what is no ending', () => {
  const names = ['Council meeting.MP3', 'Talk 1.2', 'Visit to Dr.Smith', 'letter.txt', 'a.b.wav', '.wav', 'plain', 'x.']
  expect(names.map(titleOf)).toEqual([
    'Council meeting',
    'Talk 1.2',
    'Visit to Dr.Smith',
    'letter.txt',
    'a.b',
    '.wav',
    'plain',
    'x.',
  ])
  expect(names.map(endingOf)).toEqual(['mp3', '', '', '', 'wav', '', '', ''])
})

it('keeps the ending of a file that gets another title', () => {
  expect(withTitle('line 5.ulaw', 'Call')).toBe('Call.ulaw')
  expect(withTitle('Talk.MP3', 'Talk of Li')).toBe('Talk of Li.MP3')
  expect(withTitle('Talk.mp3', 'talk.mp3')).toBe('talk.mp3')
  expect(withTitle('Talk.mp3', 'talk.wav')).toBe('talk.wav.mp3')
  expect(withTitle('plain', 'New')).toBe('New')
})
