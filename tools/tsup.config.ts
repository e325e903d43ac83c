import { defineConfig } from 'tsup'

export default defineConfig({
  entry: ['{data,demo,torture,bench,sim}/**/*.ts', '!**/*.test.ts', '!bench/peers/**'],
  format: 'esm',
  target: 'node20',
  bundle: false,
  sourcemap: true,
  clean: true,
  silent: true,
})
