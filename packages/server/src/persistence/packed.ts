/**
 * Many byte strings as one: what crosses to the persistence thread. Cloning 16 000 small arrays one by one stalls the
 * sender for tens of milliseconds, cloning two large ones does not.
 */
export interface Packed {
  readonly bytes: Uint8Array
  /** Where each string ends; an absent one ends where the one before does and is marked. */
  readonly ends: Uint32Array
  readonly absent: Uint8Array
}

/** Views of the packed bytes. */
export function unpack({ bytes, ends, absent }: Packed): (Uint8Array | undefined)[] {
  return Array.from(ends, (end, i) =>
    absent[i] ? undefined : bytes.subarray(i === 0 ? 0 : ends[i - 1]!, end),
  )
}
