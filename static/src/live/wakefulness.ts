// Keeps the screen on while something is recorded: a phone that sleeps gives no sound.

let lock: WakeLockSentinel | null = null
let wanted = false

async function ask(): Promise<void> {
  if (!wanted || lock || document.hidden) return
  const granted = await navigator.wakeLock?.request('screen').catch(() => null) // an empty battery refuses
  if (!granted) return
  granted.addEventListener('release', () => {
    if (lock === granted) lock = null
  })
  if (wanted) lock = granted
  else void granted.release()
}

export function keepAwake(): void {
  wanted = true
  void ask()
}

export function letSleep(): void {
  wanted = false
  void lock?.release()
  lock = null
}

document.addEventListener('visibilitychange', () => void ask()) // browsers take it back from a tab that is hidden
