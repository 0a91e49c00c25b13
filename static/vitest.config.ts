import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('..', import.meta.url))

export default defineConfig({ root, test: { dir: `${root}tests/ui`, globals: true, include: ['**/*.test.ts'] } })
