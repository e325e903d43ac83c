// How every package is tested.
import { defineConfig, type ViteUserConfig } from 'vitest/config'

/** The vitest configuration of a package whose tests stand in `folders`. */
export function packageTests(folders: readonly string[]): ViteUserConfig {
  return defineConfig({
    test: {
      include: folders.map(folder => `${folder}/**/*.test.ts`),
      // Ends what hangs. What takes 20 s took three times as long on a machine with other work.
      testTimeout: 240_000,
      hookTimeout: 240_000,
      maxWorkers: 2,
    },
  })
}
