/** Byte strings, payloads and ids on their way into one. The thread that reads them does without this, and so without @drift/core, when it starts. */
import { type Id, MAX_ENCODED_ID_BYTES, ownTurn, writeId } from '@drift/core'
import type { Packed } from './packed.js'

export function pack(strings: readonly (Uint8Array | undefined)[]): Packed {
  const packed = laidOut(strings)
  for (let i = 0; i < strings.length; i++) put(strings[i], packed, i)
  return packed
}

/** Rows between two turns of the event loop: about a millisecond. */
const PIECE_ROWS = 1_024
/** Bytes, likewise: new memory is touched. */
const PIECE_BYTES = 1 << 20

/** What each row has, packed. The event loop turns meanwhile: the rows have to stay what they are, so a pin is open. */
export async function packRows(
  rows: Uint32Array,
  of: (row: number) => Uint8Array | undefined,
): Promise<Packed> {
  const strings = new Array<Uint8Array | undefined>(rows.length)
  for (let i = 0; i < rows.length; i++) {
    if (i > 0 && i % PIECE_ROWS === 0) await ownTurn()
    strings[i] = of(rows[i]!)
  }
  const packed = laidOut(strings)
  const { ends } = packed
  let piece = PIECE_BYTES
  for (let i = 0; i < strings.length; i++) {
    if (ends[i]! > piece) {
      await ownTurn()
      piece = ends[i]! + PIECE_BYTES
    }
    put(strings[i], packed, i)
  }
  return packed
}

/** Room for all of them, in memory that threads share: cloning megabytes of it stalls the sender as well. */
function laidOut(strings: readonly (Uint8Array | undefined)[]): Packed {
  const ends = new Uint32Array(strings.length)
  const absent = new Uint8Array(strings.length)
  let end = 0
  for (let i = 0; i < strings.length; i++) {
    const string = strings[i]
    if (!string) absent[i] = 1
    end += string?.length ?? 0
    ends[i] = end
  }
  return { bytes: new Uint8Array(new SharedArrayBuffer(end)), ends, absent }
}

function put(string: Uint8Array | undefined, { bytes, ends }: Packed, i: number): void {
  if (string) bytes.set(string, ends[i]! - string.length)
}

/** Of an id that is a number: room for more is made when others come. */
const FIRST_ID_BYTES = 9

/**
 * The encoded ids of rows, then of others, in the same way. Each goes to its place at once: an array for each would live until the last
 * is there, and collections that find thousands of them alive stop the thread for milliseconds.
 */
export async function packIds(
  rows: Uint32Array,
  idAt: (row: number) => Id,
  others: readonly Id[] = [],
): Promise<Packed> {
  const count = rows.length + others.length
  const ends = new Uint32Array(count)
  let bytes = new Uint8Array(count * FIRST_ID_BYTES + MAX_ENCODED_ID_BYTES)
  let end = 0
  for (let i = 0; i < count; i++) {
    if (i > 0 && i % PIECE_ROWS === 0) await ownTurn()
    if (bytes.length - end < MAX_ENCODED_ID_BYTES) {
      const grown = new Uint8Array(2 * bytes.length)
      grown.set(bytes)
      bytes = grown
    }
    end += writeId(i < rows.length ? idAt(rows[i]!) : others[i - rows.length]!, bytes, end)
    ends[i] = end
  }
  return { bytes: bytes.slice(0, end), ends, absent: new Uint8Array(count) }
}
