// How every package is built: ES modules, one for each door and some for what doors share, types by tsc. Every process and every
// thread loads them again, and a module costs it a millisecond, however small it is.
import { defineConfig, type Options } from 'tsup'

/** In a bundle esbuild calls a class that names itself `_Drift`, and whoever prints a database or reads a stack would see that. */
const classNames: NonNullable<Options['plugins']>[number] = {
  name: 'class-names',
  renderChunk(code) {
    const names = Array.from(code.matchAll(/^var (\w+) = class _\1\b/gm), ([, name]) => name!)
    return { code: names.reduce((all, name) => all.replace(new RegExp(`\\b_${name}\\b`, 'g'), name), code) }
  },
}

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
    plugins: [classNames],
    ...options,
  })
}
