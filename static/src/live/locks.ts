// Locks of the browser: a recording belongs to one tab, and is free when that tab is gone, however it went.

export interface Held {
  release(): void
}

/** Hold a lock. Null: another tab has it. `wait`: until it is free. */
export function holdLock(name: string, wait = false): Promise<Held | null> {
  return new Promise((held) => {
    void navigator.locks.request(name, { ifAvailable: !wait }, (lock) => {
      if (!lock) return held(null)
      return new Promise<void>((release) => held({ release }))
    })
  })
}
