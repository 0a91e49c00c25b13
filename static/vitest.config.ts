import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('..', import.meta.url))

// A test that waits for ever ends after a minute. How fast a test is says nothing on a busy machine.
export default defineConfig({
  root,
  test: { dir: `${root}tests/ui`, globals: true, include: ['**/*.test.ts'], testTimeout: 60_000 },
})
