/**
 * SIMD kernels for vector search over memory that the caller owns. `kernels` is the fastest set this machine runs.
 */
import { checked } from './checked.js'
import type { Kernels } from './kernels.js'
import { reference } from './reference.js'

export { MAX_DIMENSION } from './checked.js'
export { NativeError, type NativeErrorCode } from './error.js'
export { allocateHnsw, type HnswOptions, hnswCapacity, hnswLinked, hnswRows } from './hnsw.js'
export type { KernelMetric, Kernels, KernelVariant } from './kernels.js'
export { allocateSlab, growSlab, MAX_SLAB_BYTES } from './slab.js'

export const kernels: Kernels = checked(reference)
