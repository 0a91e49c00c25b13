import { vi } from 'vitest'

const track = (kind: string) => ({ kind, stop: vi.fn() })
const stream = (...kinds: string[]) => {
  const tracks = kinds.map(track)
  const of = (kind: string) => tracks.filter((one) => one.kind === kind)
  return { getTracks: () => tracks, getAudioTracks: () => of('audio'), getVideoTracks: () => of('video') }
}
const devices = { getUserMedia: vi.fn(), getDisplayMedia: vi.fn(), enumerateDevices: vi.fn() }
vi.stubGlobal('navigator', { mediaDevices: devices, locks: {} })
vi.stubGlobal('isSecureContext', true)
const { openSources, canRecord, canShare, microphones } = await import('../../static/src/live/sources.ts')

const MICROPHONE = { microphone: true, shared: false, device: '' }
const SHARED = { microphone: false, shared: true, device: '' }
const fails = (name: string) => async () => {
  throw new DOMException('', name)
}
const trouble = (choice = MICROPHONE) =>
  openSources(choice).then(
    () => 'none at all',
    (error: { trouble: string }) => error.trouble,
  )

it.each([
  ['NotAllowedError', 'denied'],
  ['SecurityError', 'denied'],
  ['NotFoundError', 'none'],
  ['OverconstrainedError', 'none'],
  ['NotReadableError', 'busy'],
  ['AbortError', 'busy'],
  ['TypeError', 'failed'],
])('says of a microphone that ends with %s: %s', async (name, said) => {
  devices.getUserMedia.mockImplementation(fails(name))
  expect(await trouble()).toBe(said)
})

it('says that nothing was shared, that it has no sound, and that a browser cannot share', async () => {
  devices.getDisplayMedia.mockImplementation(fails('NotAllowedError'))
  expect(await trouble(SHARED)).toBe('share_denied')
  devices.getDisplayMedia.mockImplementation(fails('NotSupportedError'))
  expect(await trouble(SHARED)).toBe('share_missing')
  const silent = stream('video')
  devices.getDisplayMedia.mockImplementation(async () => silent)
  expect(await trouble(SHARED)).toBe('share_silent')
  expect(silent.getTracks()[0]!.stop).toHaveBeenCalledOnce()
})

it('leaves no source open when the other one is not given', async () => {
  const shared = stream('audio', 'video')
  devices.getDisplayMedia.mockImplementation(async () => shared)
  devices.getUserMedia.mockImplementation(fails('NotAllowedError'))
  expect(await trouble({ ...MICROPHONE, shared: true })).toBe('denied')
  for (const one of shared.getTracks()) expect(one.stop).toHaveBeenCalledOnce()
})

it('asks for sound as it is, and for no echo of what is shared', async () => {
  devices.getUserMedia.mockImplementation(async () => stream('audio'))
  devices.getDisplayMedia.mockImplementation(async () => stream('audio', 'video'))
  expect(await openSources({ ...MICROPHONE, device: 'usb' })).toHaveLength(1)
  const plain = { noiseSuppression: false, autoGainControl: false }
  const wanted = { ...plain, echoCancellation: false, deviceId: { exact: 'usb' } }
  expect(devices.getUserMedia).toHaveBeenLastCalledWith({ audio: wanted })
  expect(await openSources({ ...MICROPHONE, shared: true })).toHaveLength(2)
  expect(devices.getUserMedia.mock.lastCall![0].audio.echoCancellation).toBe(true)
})

it('knows where there is nothing to ask', async () => {
  expect([canRecord(), canShare()]).toEqual([true, true])
  vi.stubGlobal('isSecureContext', false)
  expect([canRecord(), canShare(), await trouble(), await microphones()]).toEqual([false, false, 'insecure', []])
  vi.stubGlobal('isSecureContext', true)
})

it('lists microphones that have names, and the usual one not twice', async () => {
  const input = (deviceId: string, label: string, kind = 'audioinput') => ({ deviceId, label, kind })
  devices.enumerateDevices.mockResolvedValue([
    ...[input('default', 'Default'), input('a', 'Desk'), input('b', ''), input('c', 'Camera', 'videoinput')],
  ])
  expect(await microphones()).toEqual([{ id: 'a', name: 'Desk' }])
})
