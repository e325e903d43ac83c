/**
 * SIMD kernels for vector search over memory that the caller owns. `kernels` is the fastest set that this machine
 * runs; the environment variable DRIFT_KERNELS (reference, c, avx2, avx512, neon) names another, read once here.
 */
import type { Kernels } from './kernels.js'
import { chosenKernels } from './variant.js'

export { hasAddon } from './addon.js'
export { MAX_DIMENSION } from './argument.js'
export { NativeError, type NativeErrorCode } from './error.js'
export { type FlockResult, flock } from './file-lock.js'
export { floatPageRoom, PageFault, packedBytes } from './float-page.js'
export { giveWay } from './give-way.js'
export { allocateHnsw, type HnswOptions, hnswBytes, hnswCapacity, hnswLinked, hnswRows } from './hnsw.js'
export {
  type AllowedRows,
  BLOCK_ENTRIES,
  blockBytes,
  blockRowsAt,
  blocksOfHalves,
  CODEWORD_VALUES,
  CODEWORDS,
  clearBlock,
  clearEntry,
  codebookLength,
  FLAT_BUCKETS,
  type IndexQuery,
  type IndexSlabs,
  NOT_COUNTED,
  PROBE_WORDS,
  paddedDim,
} from './index-slabs.js'
export type { KernelMetric, Kernels, KernelVariant } from './kernels.js'
export { packViews, unpackViews } from './large-views.js'
export {
  allocateSlab,
  growSlab,
  MAX_ROW_SLAB_BYTES,
  MAX_SLAB_BYTES,
  TouchedAhead,
  touchedBytes,
} from './slab.js'
export { kernelsOf, supportedVariants } from './variant.js'

export const kernels: Kernels = chosenKernels(process.env['DRIFT_KERNELS'])
