/**
 * Every kernel in plain TypeScript: the definition that the C variants are tested against, and what runs without the
 * addon. No argument is checked here (lib/checked.ts does that).
 */
import type { Kernels } from './kernels.js'
import { affineDistances } from './reference/affine.js'
import { bitsAnd } from './reference/bits.js'
import { crc32c } from './reference/crc32c.js'
import { distances, distancesGather } from './reference/distance.js'
import { floatPageDecode } from './reference/float-page/decode.js'
import { floatPageEncode } from './reference/float-page/encode.js'
import { bitsPack, bitsUnpack } from './reference/float-page/packed.js'
import { hash64 } from './reference/hash64.js'
import { hnswInsert, hnswSearch } from './reference/hnsw.js'
import {
  indexAppend,
  indexAppendTail,
  indexAssign,
  indexCompact,
  indexCopy,
  indexNear,
  indexNeighbours,
  indexRouteEntries,
} from './reference/index-assign.js'
import { indexHalve } from './reference/index-halve.js'
import { indexSearch, indexSearchMany } from './reference/index-search.js'
import { nearest, nearestByHeads } from './reference/nearest.js'
import { fastScan, lutDistances } from './reference/pq.js'
import { project } from './reference/project.js'
import { rotate } from './reference/rotate.js'
import { encodeRows, normalise, squaredLengths } from './reference/rows.js'
import { sq8Distances, sq8DistancesGather, sq8Encode, sq8Query } from './reference/sq8.js'
import { sumRows } from './reference/sums.js'
import { topK } from './reference/topk.js'

export const reference: Kernels = {
  variant: 'reference',
  distances,
  distancesGather,
  nearest,
  nearestByHeads,
  project,
  sumRows,
  sq8Encode,
  sq8Query,
  sq8Distances,
  sq8DistancesGather,
  topK,
  hnswInsert,
  hnswSearch,
  lutDistances,
  fastScan,
  affineDistances,
  rotate,
  squaredLengths,
  normalise,
  encodeRows,
  indexSearch,
  indexSearchMany,
  indexAppend,
  indexAppendTail,
  indexCopy,
  indexCompact,
  indexRouteEntries,
  indexAssign,
  indexHalve,
  indexNear,
  indexNeighbours,
  crc32c,
  hash64,
  bitsAnd,
  floatPageEncode,
  floatPageDecode,
  bitsPack,
  bitsUnpack,
}
