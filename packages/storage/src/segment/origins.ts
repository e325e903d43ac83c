/**
 * Where the rows of a segment were before they were brought together in it: in which segment, as which row. Derived, and only there so
 * that an index file which knows the older segments serves the newer one too.
 *
 * ORIGINS  segments u64 | per segment uuid 16 B | per row { segment u32, row u32 }
 */
import { requireArgument } from '../errors.js'
import { uuidBytes, uuidText } from '../uuid.js'
import { getU64, SectionKind, setU64, viewOf } from './format.js'
import type { SectionReader } from './section-reader.js'

export interface Origins {
  /** Uuids. */
  readonly segments: readonly string[]
  /** Two per row: position in `segments`, and row there. */
  readonly places: Uint32Array
}

const DIRECTORY_AT = 8
const UUID_BYTES = 16
const PLACE_BYTES = 8

export function encodeOrigins({ segments, places }: Origins, rows: number): Uint8Array {
  requireArgument(places.length === 2 * rows, () => `${places.length} numbers are no origins of ${rows} rows`)
  const placesAt = DIRECTORY_AT + segments.length * UUID_BYTES
  const bytes = new Uint8Array(placesAt + places.byteLength)
  setU64(viewOf(bytes), 0, segments.length)
  segments.forEach((uuid, i) => {
    bytes.set(uuidBytes(uuid), DIRECTORY_AT + i * UUID_BYTES)
  })
  bytes.set(new Uint8Array(places.buffer, places.byteOffset, places.byteLength), placesAt)
  return bytes
}

export function decodeOrigins(bytes: Uint8Array, rows: number, file: SectionReader): Origins {
  const bad = (what: string) => file.bad(what, { section: SectionKind.origins })
  if (bytes.length < DIRECTORY_AT) throw bad(`has ${bytes.length} bytes`)
  const count = getU64(viewOf(bytes), 0, file.path)
  const placesAt = DIRECTORY_AT + count * UUID_BYTES
  if (bytes.length !== placesAt + rows * PLACE_BYTES) throw bad(`has ${bytes.length} bytes for ${rows} rows`)
  const segments = Array.from({ length: count }, (_, i) => {
    const at = DIRECTORY_AT + i * UUID_BYTES
    return uuidText(bytes.subarray(at, at + UUID_BYTES))
  })
  const places = new Uint32Array(bytes.slice(placesAt).buffer)
  for (let i = 0; i < places.length; i += 2) {
    if (places[i]! >= count) throw bad(`has row ${i / 2} in segment ${places[i]} of ${count}`)
  }
  return { segments, places }
}
