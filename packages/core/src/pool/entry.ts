/**
 * The built module that a thread begins with, also for src, since a thread cannot load TypeScript. Rule: who asks is a file in a folder of
 * src, and built it is part of a file in dist itself.
 *
 * @param here - the asking file's `import.meta.url`.
 * @param entry - the module's path below dist.
 */
export function builtEntry(here: string, entry: string): URL {
  return new URL(here.endsWith('.ts') ? `../../dist/${entry}` : `./${entry}`, here)
}
