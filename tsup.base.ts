// How every package is built: ES modules, one for each door and some for what doors share, types by tsc. Every process and every
// thread loads them again, and a module costs it a millisecond, however small it is.
import { defineConfig, type Options } from 'tsup'

/**
 * The tsup configuration of a package.
 *
 * @param doors - what others import, run or start as a thread: each keeps below dist the place that it has below the source folder,
 * and everything else of the package lies in dist itself, `import.meta.url` with it.
 */
export function packageBuild(doors: readonly string[], options?: Options): ReturnType<typeof defineConfig> {
  return defineConfig({
    entry: [...doors],
    format: 'esm',
    target: 'node20',
    sourcemap: true,
    clean: true,
    silent: true,
    ...options,
  })
}
