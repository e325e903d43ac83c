import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['{data,demo,torture,bench,sim,pack,docs}/**/*.test.ts'],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: 2,
  },
})
