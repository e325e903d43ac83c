// How every package is built: ES modules file by file, types by tsc. dist keeps the shape of the source folder, so that worker
// entries are found by the same relative URL in both.
import { defineConfig } from 'tsup'

/** The tsup configuration of a package: what `entry` names, without its tests. */
export function packageBuild(entry: readonly string[]): ReturnType<typeof defineConfig> {
  return defineConfig({
    entry: [...entry, '!**/*.test.ts'],
    format: 'esm',
    target: 'node20',
    bundle: false,
    sourcemap: true,
    clean: true,
    silent: true,
  })
}
