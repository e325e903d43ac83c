// Module hooks that give a mutant's copy of the packages: an import with `?mutant=NAME` goes down to everything of @drift that it imports,
// and the one file that the mutant changes is changed as it is loaded. Nothing of this is in the packages themselves.
import type { LoadHook, ResolveHook } from 'node:module'
import { CANARY, MUTANTS } from './list.js'

const OURS = /\/packages\/(fs|core|storage|server)\/dist\//

export const resolve: ResolveHook = async (specifier, context, next) => {
  const resolved = await next(specifier, context)
  const name = context.parentURL && new URL(context.parentURL).searchParams.get('mutant')
  if (!name || !OURS.test(resolved.url) || resolved.url.includes('?')) return resolved
  return { ...resolved, url: `${resolved.url}?mutant=${name}` }
}

export const load: LoadHook = async (url, context, next) => {
  const loaded = await next(url, context)
  const { searchParams, pathname } = new URL(url)
  const mutant = [...MUTANTS, CANARY].find(({ name }) => name === searchParams.get('mutant'))
  if (!mutant || !pathname.endsWith(`/packages/${mutant.file}`)) return loaded
  const source = String(loaded.source)
  const parts = source.split(mutant.from)
  if (parts.length !== 2)
    throw new Error(
      `mutant ${mutant.name}: ${mutant.file} has its text ${parts.length - 1} times, expected once`,
    )
  return { ...loaded, source: parts.join(mutant.to) }
}
