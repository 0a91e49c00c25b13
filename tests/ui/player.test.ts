vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined })
vi.stubGlobal('navigator', { languages: ['en'] })
const { soundsOf } = await import('../../static/src/player.ts')
import type { Job } from '../../static/src/types.ts'

const sounds = (job: object): string[] => soundsOf({ id: 'a', status: 'completed', ...job } as Job)

it('plays what every browser plays, and keeps the other for those that cannot', () => {
  const address = '/api/jobs/a/media'
  expect(sounds({})).toEqual([address])
  expect(sounds({ playable: 'recording', copy_bytes: 0 })).toEqual([address])
  expect(sounds({ playable: 'copy', copy_bytes: 9 })).toEqual([`${address}?original=0`, `${address}?original=1`])
  expect(sounds({ playable: 'recording', copy_bytes: 9 })).toEqual([address, `${address}?original=0`])
  expect(sounds({ media_removed: true })).toEqual([address]) // its answer says that the recording is gone
  expect(sounds({ status: 'pending', origin: { url: 'https://a.test/b' }, sha256: '' })).toEqual([])
})
