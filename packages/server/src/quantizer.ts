/** What makes the codes of an index, as segments and index files name it: codes of another quantizer are never mixed with these. */
import { kernels } from '@drift/native'

/** Symmetric SQ8 of the rotated row with a scale for each row, which needs no training; the rotation is fixed (`Rotation` of core). */
export function quantizerOf(dim: number): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ type: 'sq8-row', version: 1, dim }))
}

/** XXH64 of `quantizerOf`. */
export function quantizerId(dim: number): bigint {
  return kernels.hash64(quantizerOf(dim))
}
