/**
 * Every kernel in plain TypeScript: the definition that the C variants are tested against, and what runs without the
 * addon. No argument is checked here (lib/checked.ts does that).
 */
import type { Kernels } from './kernels.js'
import { crc32c } from './reference/crc32c.js'
import { distances, distancesGather } from './reference/distance.js'
import { collectRows } from './reference/entries.js'
import { hash64 } from './reference/hash64.js'
import { hnswInsert, hnswSearch } from './reference/hnsw.js'
import { nearest, nearestByHeads } from './reference/nearest.js'
import { project } from './reference/project.js'
import { sq8Distances, sq8DistancesGather, sq8Encode, sq8Query } from './reference/sq8.js'
import { topK } from './reference/topk.js'

export const reference: Kernels = {
  variant: 'reference',
  distances,
  distancesGather,
  nearest,
  nearestByHeads,
  project,
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
}
