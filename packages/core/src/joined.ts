/** Typed arrays one behind the other, in one of their own kind. */
export function joined<T extends Uint8Array | Uint32Array | Float32Array>(
  type: new (length: number) => T,
  parts: readonly T[],
): T {
  const all = new type(parts.reduce((count, { length }) => count + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
