// Finds the error codes that a source or a document names. A code built from a template (`DRIFT_FS_${errno}`) is a
// family, written DRIFT_FS_*; documents may write DRIFT_FS_<ERRNO>. Names read from the environment are no codes.

/** Codes of a source text: string literals and families. */
export function codesInSource(source: string): Set<string> {
  const literals = [...source.matchAll(/['"`](DRIFT_[A-Z0-9_]*[A-Z0-9])['"`]/g)].map(match => match[1]!)
  const families = [...source.matchAll(/`(DRIFT_[A-Z0-9_]*_)\$\{/g)].map(match => `${match[1]}*`)
  const variables = environmentNames(source)
  return new Set([...literals, ...families].filter(code => !variables.has(code)))
}

/** Names of environment variables that a source reads. */
export function environmentNames(source: string): Set<string> {
  return new Set([...source.matchAll(/\benv(?:\.|\[['"])(DRIFT_[A-Z0-9_]+)/g)].map(match => match[1]!))
}

/** Codes that a document names in code spans. */
export function codesInDocument(markdown: string): Set<string> {
  return new Set(
    [...markdown.matchAll(/`(DRIFT_[A-Z0-9_]+)(<\w+>|\*)?`/g)].map(([, stem, family]) =>
      family ? `${stem}*` : stem!,
    ),
  )
}

/** Codes of `named` that `known` lacks. A family in either stands for each of its members. */
export function missing(named: ReadonlySet<string>, known: ReadonlySet<string>): string[] {
  const covers = (family: string, code: string) =>
    family.endsWith('*') && code.startsWith(family.slice(0, -1))
  return [...named]
    .filter(code => !known.has(code) && ![...known].some(other => covers(other, code) || covers(code, other)))
    .sort()
}
