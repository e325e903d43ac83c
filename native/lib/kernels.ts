/**
 * The contract of the kernels: what every variant (reference, c, avx2, avx512, neon) computes.
 *
 * Kernels are pure functions over memory that the caller owns. They allocate nothing that outlives the call, keep no
 * state and never touch files. "Distance" is smaller-is-nearer for every metric. A row is `dim` consecutive values of
 * a row-major matrix, addressed by its row number. No pointer needs alignment; outputs overlap no input.
 * Types, lengths and row numbers are checked first (NativeError DRIFT_KERNEL_ARGUMENT); nothing is touched when one is wrong.
 */

/** `l2`: squared Euclidean distance. `ip`: minus the inner product (cosine is `ip` over unit vectors). */
export type KernelMetric = 'l2' | 'ip'

export type KernelVariant = 'reference' | 'c' | 'avx2' | 'avx512' | 'neon'

export interface Kernels {
  /** Which implementation runs. */
  readonly variant: KernelVariant

  /** out[j] = distance(query, row first + j), j < count. query: dim floats; rows: row-major f32. */
  distances(
    metric: KernelMetric,
    query: Float32Array,
    rows: Float32Array,
    dim: number,
    first: number,
    count: number,
    out: Float32Array,
  ): void

  /** out[j] = distance(query, row index[j]), j < count. */
  distancesGather(
    metric: KernelMetric,
    query: Float32Array,
    rows: Float32Array,
    dim: number,
    index: Uint32Array,
    count: number,
    out: Float32Array,
  ): void

  /**
   * Nearest centroid by squared L2 of the rows named in `index` (j < count): outCentroid[j], outDistance[j].
   * Ties go to the lower centroid number. centroids: k * dim floats, k >= 1. A row with a NaN gets centroid 0, distance NaN.
   */
  nearest(
    rows: Float32Array,
    dim: number,
    index: Uint32Array,
    count: number,
    centroids: Float32Array,
    k: number,
    outCentroid: Uint32Array,
    outDistance: Float32Array,
  ): void

  /**
   * SQ8 of rows first .. first + count - 1, written at the same row numbers: per row a symmetric scale
   * s = max|x| / 127 and codes[i] = round(x[i] / s) + 128 (ties to even), in 1..255; an all-zero row has s = 0, codes 128.
   * factors[2r] = s, factors[2r + 1] = ||x||^2 (of the exact row). Needs no training, so it cannot go stale.
   * Input must be finite.
   */
  sq8Encode(
    rows: Float32Array,
    dim: number,
    first: number,
    count: number,
    codes: Uint8Array,
    factors: Float32Array,
  ): void

  /**
   * The query's half of SQ8: symmetric int8 codes (in -127..127) of `query` into `out` (dim bytes) and
   * outFactors = [s, ||q||^2, sum of the codes]. Length 3.
   */
  sq8Query(query: Float32Array, out: Int8Array, outFactors: Float32Array): void

  /**
   * out[j] = approximate distance of row first + j from SQ8 codes:
   * <q,x> ~ s_q * s_x * (sum u8*s8 - 128 * sum s8); l2: ||q||^2 + ||x||^2 - 2<q,x>; ip: -<q,x>. The integer sum is exact in every variant.
   */
  sq8Distances(
    metric: KernelMetric,
    query: Int8Array,
    queryFactors: Float32Array,
    codes: Uint8Array,
    factors: Float32Array,
    dim: number,
    first: number,
    count: number,
    out: Float32Array,
  ): void

  /** The same for the rows named in `index`; prefetches ahead. */
  sq8DistancesGather(
    metric: KernelMetric,
    query: Int8Array,
    queryFactors: Float32Array,
    codes: Uint8Array,
    factors: Float32Array,
    dim: number,
    index: Uint32Array,
    count: number,
    out: Float32Array,
  ): void

  /**
   * Positions of the min(k, count) smallest distances, nearest first, ties by lower position; NaN never appears.
   * @returns how many were written to outPosition and outDistance (fewer than k only when fewer are not NaN).
   */
  topK(
    distances: Float32Array,
    count: number,
    k: number,
    outPosition: Uint32Array,
    outDistance: Float32Array,
  ): number

  /**
   * Rows that count in the given buckets, in order of buckets and entries, into `out`. A bucket is a chain of blocks of 32 entries,
   * each a row number: heads[bucket] is its first block, next[block] the following one; a block that `next` does not have ends the
   * chain, and so does the entry 0xffffffff. An entry counts when row < rowLimit and home[row] is the bucket, or second[row] is
   * and marks[home[row]] is not `mark` (the row is met at home then).
   * @returns how many count; of more than out.length only the first are there: call again with more room.
   */
  collectRows(
    entries: Uint32Array,
    next: Uint32Array,
    heads: Uint32Array,
    buckets: Uint32Array,
    count: number,
    home: Uint32Array,
    second: Uint32Array,
    marks: Uint32Array,
    mark: number,
    rowLimit: number,
    out: Uint32Array,
  ): number

  /**
   * Link the next `count` nodes of an HNSW graph (Malkov & Yashunin 2016, algorithm 1 with the heuristic of
   * algorithm 4). `graph` is the memory made by `allocateHnsw`; node n stands for row `graph rows[n]` of `rows`, which must be
   * filled before. One writer at a time; concurrent hnswSearch calls in other threads see a valid graph.
   * @returns the number of nodes linked after the call.
   */
  hnswInsert(graph: Uint32Array, metric: KernelMetric, rows: Float32Array, dim: number, count: number): number

  /**
   * The nearest live rows that a beam search of width ef finds. `live`: one bit per row number (word r >>> 5, bit r & 31);
   * dead rows, and rows beyond the bits, are walked through but not returned. Results go to outRow and outDistance,
   * nearest first.
   * @returns how many were written: at most min(ef, outRow.length).
   */
  hnswSearch(
    graph: Uint32Array,
    metric: KernelMetric,
    rows: Float32Array,
    dim: number,
    query: Float32Array,
    ef: number,
    live: Uint32Array,
    outRow: Uint32Array,
    outDistance: Float32Array,
  ): number

  /** CRC32C (Castagnoli, reflected, init and xorout 0xffffffff); `seed` is the CRC of what came before, 0 at the start. */
  crc32c(bytes: Uint8Array, seed?: number): number

  /** XXH64 of the bytes with a 64-bit seed. */
  hash64(bytes: Uint8Array, seed?: bigint): bigint

  /**
   * The values as a page, under the codec that makes it smallest: RAW, CONST, ALP by division or ALP-RD with merged streams
   * (reference/float-page). Exact to the bit. @param page - has `floatPageRoom` bytes. @returns its length.
   */
  floatPageEncode(values: Float32Array | Float64Array, page: Uint8Array): number

  /**
   * Values first .. first + out.length - 1 of a page that should hold `values` and may hold anything.
   * @returns 0, or a `PageFault` after which `out` means nothing.
   */
  floatPageDecode(page: Uint8Array, values: number, first: number, out: Float32Array | Float64Array): number

  /** The lowest `width` < 64 bits of each word, interleaved in 16 lanes (reference/float-page/packed), into `packedBytes` bytes. */
  bitsPack(words: BigUint64Array, width: number, out: Uint8Array): void

  bitsUnpack(bytes: Uint8Array, width: number, out: BigUint64Array): void
}
