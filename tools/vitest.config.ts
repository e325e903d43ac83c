import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['{demo,bench,pack}/**/*.test.ts'],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: 1,
  },
})
