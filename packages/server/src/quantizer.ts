/** What makes the codes of an index, as segments and index files name it: codes of another quantizer are never mixed with these. */
import { kernels } from '@drift/native'
import type { CollectionConfig } from './operation.js'

/** Symmetric SQ8 of the rotated row with a scale for each row, which needs no training; the rotation is fixed (`Rotation` of core). */
export function quantizerOf(dim: number): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ type: 'sq8-row', version: 1, dim }))
}

/** XXH64 of `quantizerOf` and, as releases without mode `pq` would read its entries as signs, of that mode. */
export function quantizerId({ dim, quantizer }: CollectionConfig): bigint {
  const id = kernels.hash64(quantizerOf(dim))
  return quantizer === 'pq' ? kernels.hash64(new TextEncoder().encode(`${id} pq`)) : id
}
