/**
 * Every kernel in plain TypeScript: the definition that the C variants are tested against, and what runs without the
 * addon. No argument is checked here (lib/checked.ts does that).
 */
import type { Kernels } from './kernels.js'
import { crc32c } from './reference/crc32c.js'
import { distances, distancesGather } from './reference/distance.js'
import { collectRows } from './reference/entries.js'
import { floatPageDecode } from './reference/float-page/decode.js'
import { floatPageEncode } from './reference/float-page/encode.js'
import { bitsPack, bitsUnpack } from './reference/float-page/packed.js'
import { hash64 } from './reference/hash64.js'
import { hnswInsert, hnswSearch } from './reference/hnsw.js'
import { nearest } from './reference/nearest.js'
import { sq8Distances, sq8DistancesGather, sq8Encode, sq8Query } from './reference/sq8.js'
import { topK } from './reference/topk.js'

export const reference: Kernels = {
  variant: 'reference',
  distances,
  distancesGather,
  nearest,
  sq8Encode,
  sq8Query,
  sq8Distances,
  sq8DistancesGather,
  topK,
  hnswInsert,
  hnswSearch,
  collectRows,
  crc32c,
  hash64,
  floatPageEncode,
  floatPageDecode,
  bitsPack,
  bitsUnpack,
}
