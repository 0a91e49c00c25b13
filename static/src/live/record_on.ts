// Goes on with a recording whose tab is gone. The recorder is fetched when somebody wants that.
import { handOver } from './interrupted.ts'
import type { Choice } from './sources.ts'

/** Record more of it, in the same job. */
export async function recordOn(key: string, choice: Choice): Promise<void> {
  const { goOn } = await import('./recorder.ts')
  await handOver(key, (recording, end, lock) => goOn(recording, end, lock, choice))
}
