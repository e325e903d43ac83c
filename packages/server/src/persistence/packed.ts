/**
 * Many byte strings as one: what crosses to the persistence thread. Cloning 16 000 small arrays one by one stalls the
 * sender for tens of milliseconds, cloning two large ones does not.
 */
import { setImmediate } from 'node:timers/promises'

export interface Packed {
  readonly bytes: Uint8Array
  /** Where each string ends; an absent one ends where the one before does and is marked. */
  readonly ends: Uint32Array
  readonly absent: Uint8Array
}

export function pack(strings: readonly (Uint8Array | undefined)[]): Packed {
  const ends = new Uint32Array(strings.length)
  const absent = new Uint8Array(strings.length)
  let end = 0
  for (let i = 0; i < strings.length; i++) {
    const string = strings[i]
    if (!string) absent[i] = 1
    end += string?.length ?? 0
    ends[i] = end
  }
  const bytes = new Uint8Array(end)
  for (let i = 0; i < strings.length; i++) {
    const string = strings[i]
    if (string) bytes.set(string, ends[i]! - string.length)
  }
  return { bytes, ends, absent }
}

/** Rows between two turns of the event loop: about a millisecond. */
const PIECE_ROWS = 1_024

/** What each row has, packed. The event loop turns meanwhile: the rows have to stay what they are, so a pin is open. */
export async function packRows(
  rows: Uint32Array,
  of: (row: number) => Uint8Array | undefined,
): Promise<Packed> {
  const strings = new Array<Uint8Array | undefined>(rows.length)
  for (let i = 0; i < rows.length; i++) {
    if (i > 0 && i % PIECE_ROWS === 0) await setImmediate()
    strings[i] = of(rows[i]!)
  }
  return pack(strings)
}

/** Views of the packed bytes. */
export function unpack({ bytes, ends, absent }: Packed): (Uint8Array | undefined)[] {
  return Array.from(ends, (end, i) =>
    absent[i] ? undefined : bytes.subarray(i === 0 ? 0 : ends[i - 1]!, end),
  )
}
