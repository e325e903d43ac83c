// Counts what is asked of memory: every typed array and buffer that is made by length, and the largest of them. For a process that does
// nothing else, since the constructors stay watched.

let largest = 0

/** The largest since the last call, in bytes. */
export function largestAllocation(): number {
  const found = largest
  largest = 0
  return found
}

export function watchAllocations(): void {
  const names = [
    'ArrayBuffer',
    'SharedArrayBuffer',
    'Uint8Array',
    'Uint16Array',
    'Uint32Array',
    'Int32Array',
    'Float32Array',
    'Float64Array',
    'BigUint64Array',
  ] as const
  for (const name of names) {
    const original = globalThis[name]
    const unit = 'BYTES_PER_ELEMENT' in original ? original.BYTES_PER_ELEMENT : 1
    const watched = new Proxy(original, {
      construct(target, values: unknown[], made) {
        const [length] = values
        if (typeof length === 'number') largest = Math.max(largest, length * unit)
        return Reflect.construct(target as never, values, made) as object
      },
    })
    Object.assign(globalThis, { [name]: watched })
  }
}
