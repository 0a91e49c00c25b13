// Where sound comes from: a microphone, and the sound of a tab or a screen that a person shares.

export interface Choice {
  microphone: boolean
  shared: boolean // the sound of a tab, or of the whole screen
  device: string // a microphone by its ID, '': the usual one
}

/** Why there is no sound. Each has its words: see `live_*` in the translations. */
export type Trouble =
  | 'insecure' // browsers give microphones only to pages over HTTPS, and to those of the same machine
  | 'denied'
  | 'none'
  | 'busy'
  | 'share_denied'
  | 'share_silent'
  | 'share_missing'
  | 'unplugged'
  | 'share_ended'
  | 'stalled'
  | 'store'
  | 'elsewhere'
  | 'failed'

export class SourceError extends Error {
  constructor(readonly trouble: Trouble) {
    super(trouble)
  }
}

export const canRecord = (): boolean => isSecureContext && 'mediaDevices' in navigator && 'locks' in navigator
/** Phones share no sound. */
export const canShare = (): boolean => canRecord() && 'getDisplayMedia' in navigator.mediaDevices

/** What was said is recorded as it was said: what makes calls pleasant costs a recogniser words. */
const PLAIN = { noiseSuppression: false, autoGainControl: false } as const

const MICROPHONE_TROUBLE: Record<string, Trouble> = {
  NotAllowedError: 'denied',
  SecurityError: 'denied',
  NotFoundError: 'none',
  OverconstrainedError: 'none', // the chosen one is not plugged in
  NotReadableError: 'busy',
  AbortError: 'busy',
}

async function microphone({ device, shared }: Choice): Promise<MediaStream> {
  try {
    const echoCancellation = shared // else what the shared tab plays comes from the loudspeaker again
    const deviceId = device ? { exact: device } : undefined
    return await navigator.mediaDevices.getUserMedia({ audio: { ...PLAIN, echoCancellation, deviceId } })
  } catch (error) {
    throw new SourceError(MICROPHONE_TROUBLE[(error as Error).name] ?? 'failed')
  }
}

async function sharedSound(): Promise<MediaStream> {
  const wanted = { video: true, audio: { ...PLAIN, echoCancellation: false }, systemAudio: 'include' }
  let stream: MediaStream
  try {
    stream = await navigator.mediaDevices.getDisplayMedia(wanted)
  } catch (error) {
    throw new SourceError((error as Error).name === 'NotAllowedError' ? 'share_denied' : 'share_missing')
  }
  if (stream.getAudioTracks().length) return stream
  close([stream])
  throw new SourceError('share_silent')
}

/** Ask for what was chosen. Raises `SourceError`; nothing stays open then. */
export async function openSources(choice: Choice): Promise<MediaStream[]> {
  if (!canRecord()) throw new SourceError('insecure')
  const open: MediaStream[] = []
  try {
    if (choice.shared) open.push(await sharedSound()) // first: browsers want the click to be fresh
    if (choice.microphone) open.push(await microphone(choice))
    return open
  } catch (error) {
    close(open)
    throw error
  }
}

export function close(streams: readonly MediaStream[]): void {
  for (const stream of streams) for (const track of stream.getTracks()) track.stop()
}

/** The microphones. Browsers name them only after they were allowed once. */
export async function microphones(): Promise<{ id: string; name: string }[]> {
  const devices = canRecord() ? await navigator.mediaDevices.enumerateDevices().catch(() => []) : []
  return devices
    .filter(({ kind, label, deviceId }) => kind === 'audioinput' && label && deviceId !== 'default')
    .map(({ deviceId, label }) => ({ id: deviceId, name: label }))
}
