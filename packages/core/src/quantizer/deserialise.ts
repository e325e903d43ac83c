/** A quantizer from the bytes that `serialise` gave, whatever its kind. */
import { pqFrom } from './pq.js'
import type { Quantizer } from './quantizer.js'
import { signFrom } from './sign.js'
import { sq8From } from './sq8.js'
import { readStored } from './stored.js'

/**
 * The bytes are copied. Codes made before are read as before: the quantizer has the same `id`.
 *
 * @throws CoreError DRIFT_QUANTIZER_CORRUPT, DRIFT_QUANTIZER_VERSION.
 */
export function deserialiseQuantizer(bytes: Uint8Array): Quantizer {
  const stored = readStored(bytes)
  switch (stored.kind) {
    case 'sq8':
      return sq8From(stored)
    case 'pq':
      return pqFrom(stored)
    case 'sign':
      return signFrom(stored)
  }
}
