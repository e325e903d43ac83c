import { defineConfig } from 'tsup'

// dist keeps the shape of src, so that worker entries are found by the same relative URL in both.
export default defineConfig({
  entry: ['src/**/*.ts', '!src/**/*.test.ts'],
  format: 'esm',
  target: 'node20',
  bundle: false,
  sourcemap: true,
  clean: true,
  silent: true,
})
