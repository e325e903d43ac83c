// Module hooks that give a mutant's copy of the packages: an import with `?mutant=NAME` goes down to everything of @drift that it imports,
// from its sources, and the one file that the mutant changes is changed as it is loaded. Nothing of this is in the packages themselves.
import { readFileSync } from 'node:fs'
import type { LoadHook, ResolveHook } from 'node:module'
import { fileURLToPath } from 'node:url'
import { transformSync } from 'esbuild'
import { CANARY, MUTANTS } from './list.js'

/** The door of a package, which was built as one module, and a source of it, which was not. */
const DOOR = /(\/packages\/(?:fs|core|storage|server))\/dist\/index\.js/
const SOURCE = /\/packages\/(?:fs|core|storage|server)\/src\//

export const resolve: ResolveHook = async (specifier, context, next) => {
  const asked = [specifier, context.parentURL ?? ''].find(url => url.includes('?mutant='))
  if (asked === undefined) return next(specifier, context)
  const isRelative = specifier.startsWith('.')
  const resolved = await next(isRelative ? specifier.replace(/\.js$/, '.ts') : specifier, context)
  const [url] = resolved.url.replace(DOOR, '$1/src/index.ts').split('?')
  return SOURCE.test(url!) ? { ...resolved, url: url + asked.slice(asked.indexOf('?')) } : resolved
}

export const load: LoadHook = async (url, context, next) => {
  const { searchParams, pathname } = new URL(url)
  const name = searchParams.get('mutant')
  if (name === null) return next(url, context)
  let source = scriptOf(fileURLToPath(url))
  const mutant = [...MUTANTS, CANARY].find(each => each.name === name)
  if (mutant && pathname.endsWith(`/packages/${mutant.file}`)) {
    const parts = source.split(mutant.from)
    if (parts.length !== 2)
      throw new Error(`mutant ${name}: ${mutant.file} has its text ${parts.length - 1} times, expected once`)
    source = parts.join(mutant.to)
  }
  return { format: 'module', shortCircuit: true, source }
}

const scripts = new Map<string, string>()

/** What the build makes of a source, but for what it then joins. */
function scriptOf(path: string): string {
  const known = scripts.get(path)
  if (known !== undefined) return known
  const { code } = transformSync(readFileSync(path, 'utf8'), {
    loader: 'ts',
    format: 'esm',
    target: 'node20',
  })
  scripts.set(path, code)
  return code
}
