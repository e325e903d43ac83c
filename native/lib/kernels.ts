/**
 * The contract of the kernels: what every variant (reference, c, avx2, avx512, neon) computes.
 *
 * Kernels are pure functions over memory that the caller owns. They allocate nothing that outlives the call, keep no
 * state and never touch files. "Distance" is smaller-is-nearer for every metric. A row is `dim` consecutive values of
 * a row-major matrix, addressed by its row number. No pointer needs alignment; outputs overlap no input.
 * Types, lengths and row numbers are checked first (NativeError DRIFT_KERNEL_ARGUMENT); nothing is touched when one is wrong.
 */

import type { IndexQuery, IndexSlabs } from './index-slabs.js'

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
   * The same as `nearest`, faster, from short vectors that never lie farther apart than the rows do: for all j and c,
   * l2(head j, centroid head c) - slack <= l2(row index[j], centroid c). (An orthonormal projection and the norm of what it
   * leaves out are such a head.) heads: count * headDim, head j of row index[j]; centroidHeads: k * headDim.
   * `centroid` holds a guess per row before and the nearest after; a better guess, or closer heads, spare comparisons.
   *
   * @returns the pairs whose distance was computed, at most count * (k + 1).
   */
  nearestByHeads(
    rows: Float32Array,
    dim: number,
    index: Uint32Array,
    count: number,
    centroids: Float32Array,
    k: number,
    heads: Float32Array,
    headDim: number,
    centroidHeads: Float32Array,
    slack: number,
    centroid: Uint32Array,
    outDistance: Float32Array,
  ): number

  /**
   * Projections of the rows named in `index` (j < count) on `width` directions of dim values each: out[j * (width + 1) + b] =
   * <row - middle, direction b>, and in the last place, b = width, the squared length of row - middle.
   */
  project(
    rows: Float32Array,
    dim: number,
    index: Uint32Array,
    count: number,
    middle: Float32Array,
    directions: Float32Array,
    width: number,
    out: Float32Array,
  ): void

  /** sums[group[j] * dim + i] += value i of row index[j], for j < count in order. The same bits everywhere. */
  sumRows(
    rows: Float32Array,
    dim: number,
    index: Uint32Array,
    group: Uint32Array,
    count: number,
    sums: Float64Array,
  ): void

  /**
   * SQ8 of rows first .. first + count - 1, written at the same row numbers: per row a symmetric step max|x| / 127 and
   * codes[i] = round(x[i] / step) + 128 (ties to even), in 1..255; an all-zero row has codes 128.
   * factors[2r] = s = ||x||^2 / <codes - 128, x>, near the step, so that an estimate is not off along the row; 0 for zeros.
   * factors[2r + 1] = ||x||^2 (of the exact row). Needs no training, so it cannot go stale.
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
   * Link the next `count` nodes of an HNSW graph (Malkov & Yashunin 2016, algorithm 1 with the heuristic of
   * algorithm 4). `graph` is the memory made by `allocateHnsw`; node n stands for row `graph rows[n]` of `rows`, which must be
   * filled before. One writer at a time; concurrent hnswSearch calls in other threads see a valid graph.
   * With `codes` and `factors` (sq8Encode of the rows, or of their image under one rotation, `codeDim` bytes a row, by default
   * `dim`) the links go by sq8Distances, at a quarter of the memory traffic; one graph may be built with them and searched
   * without, and the other way round.
   * @returns the number of nodes linked after the call.
   */
  hnswInsert(
    graph: Uint32Array,
    metric: KernelMetric,
    rows: Float32Array,
    dim: number,
    count: number,
    codes?: Uint8Array,
    factors?: Float32Array,
    codeDim?: number,
  ): number

  /**
   * The nearest live rows that a beam search of width ef finds. `live`: one bit per row number (word r >>> 5, bit r & 31);
   * dead rows, and rows beyond the bits, are walked through but not returned. Results go to outRow and outDistance,
   * nearest first, with the distances that `distances` computes.
   * With the last four arguments (sq8Query of the query, rotated when the rows are; exactly as many codes as a row has) the walk
   * goes by sq8Distances, and the nearest outRow.length of it, with some to spare, are measured and ordered by the exact rows.
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
    queryCodes?: Int8Array,
    queryFactors?: Float32Array,
    codes?: Uint8Array,
    factors?: Float32Array,
  ): number

  /**
   * Distances by table (ADC): out[j] = sum_i lut[i * 256 + codes[(first + j) * width + i]], j < count. lut: width * 256
   * entries, row-major codes. Summed in f32 in one order, so the same bits in every variant.
   */
  lutDistances(
    lut: Float32Array,
    width: number,
    codes: Uint8Array,
    first: number,
    count: number,
    out: Float32Array,
  ): void

  /**
   * FastScan: sums of table entries picked by 4-bit codes, 32 rows at a time. A block starts every `stride` bytes and begins
   * with `groups` * 16 bytes: byte 16 g + j holds the codes of group g, that of row j low and that of row 16 + j high.
   * out[32 b + j] = sum_g lut[16 g + code], modulo 65 536. lut: groups * 16 entries in 0..127; with larger ones the sums
   * mean nothing. out: 32 * blockCount values.
   */
  fastScan(
    lut: Uint8Array,
    groups: number,
    blocks: Uint8Array,
    stride: number,
    blockCount: number,
    out: Uint16Array,
  ): void

  /**
   * Distances to codes that each stand for a number on a line of their dimension. With gap_i = offset[i] - step[i] * codes[i],
   * l2: out[j] = sum_i gap_i^2, ip: out[j] = sum_i gap_i, over row first + j of `codes`, j < count. For values min + step * code
   * offset = query - min under l2, and offset = -query * min with step = query * step under ip.
   */
  affineDistances(
    metric: KernelMetric,
    offset: Float32Array,
    step: Float32Array,
    codes: Uint8Array,
    dim: number,
    first: number,
    count: number,
    out: Float32Array,
  ): void

  /**
   * The fixed random rotation of rows first .. first + count - 1 (dim values each), padded with zeros to `padded` values, a multiple
   * of 64: out[j * padded ...] for the j-th. `flips`: per round `padded` words, 0 or 0x80000000 (the sign bit), drawn by the caller.
   * Lengths and inner products stay as they are, up to rounding. The same bits in every variant. Source: src/rotate.c.
   */
  rotate(
    rows: Float32Array,
    dim: number,
    padded: number,
    first: number,
    count: number,
    flips: Uint32Array,
    out: Float32Array,
  ): void

  /** out[j] = the sum of the squares of row j < count, in double precision: the same bits in every variant. Finite when all values are. */
  squaredLengths(rows: Float32Array, dim: number, count: number, out: Float64Array): void

  /**
   * Row j of `out` = row j < count scaled to unit length, in double precision, so that neither 1e-30 nor 1e30 is lost: the same bits in every
   * variant. A row whose squared length is within 2^-22 of 1 keeps its bits, so that scaling what was scaled changes nothing. None is all zeros.
   * `out` may be `rows`.
   */
  normalise(rows: Float32Array, dim: number, count: number, out: Float32Array): void

  /**
   * New rows in one pass, j < sources.length: row sources[j] of `from` becomes row places[j] of `kept`, scaled to unit length (in double
   * precision) when `isUnit`, and the rotation of that, as `rotate` makes it, becomes row rows[j] of codes and factors, as
   * `sq8Encode` makes them. A row of zeros has no unit length. `kept` has the same bits in every variant.
   */
  encodeRows(
    from: Float32Array,
    dim: number,
    sources: Uint32Array,
    isUnit: boolean,
    kept: Float32Array,
    places: Uint32Array,
    padded: number,
    flips: Uint32Array,
    rows: Uint32Array,
    codes: Uint8Array,
    factors: Float32Array,
  ): void

  /**
   * The k nearest rows among the live ones that the probed buckets, `ask.tails` and `ask.extra` hold, nearest first, from outRow[at] and
   * outDistance[at] on. See `IndexSlabs`.
   * @returns how many were written; at most k. effort = [buckets scanned, their entries and with `allow` those of tails that it allows, rows whose codes were read].
   */
  indexSearch(
    index: IndexSlabs,
    ask: IndexQuery,
    query: Float32Array,
    outRow: Uint32Array,
    outDistance: Float32Array,
    at: number,
    effort: Uint32Array,
  ): number

  /**
   * `indexSearch` for queries[first .. first + count) with one `ask`, without a trace: a call costs a query a microsecond or two, mostly of
   * what the search before has driven out of the caches.
   *
   * @param queries - dim values each.
   * @param stride - at least k: the results of query q go to outRow[q * stride] and outDistance[q * stride] on, how many to outCount[q].
   */
  indexSearchMany(
    index: IndexSlabs,
    ask: IndexQuery,
    queries: Float32Array,
    first: number,
    count: number,
    stride: number,
    outRow: Uint32Array,
    outDistance: Float32Array,
    outCount: Uint32Array,
  ): void

  /** The entry at slots[j] (32 * block + place) becomes rows[j] in buckets[j], from the codes of the row; j < count. */
  indexAppend(
    index: IndexSlabs,
    rows: Uint32Array,
    buckets: Uint32Array,
    slots: Uint32Array,
    count: number,
  ): void

  /**
   * The entry at slots[j] becomes rows[j] in a tail (`IndexQuery.tails`), from the codes of the row; j < count.
   *
   * @param reference - of the tail, D values.
   */
  indexAppendTail(
    index: IndexSlabs,
    reference: Float32Array,
    rows: Uint32Array,
    slots: Uint32Array,
    count: number,
  ): void

  /** The entry at to[j] becomes what the entry at from[j] is, in order of j < count: slots as in `indexAppend`. */
  indexCopy(index: IndexSlabs, from: Uint32Array, to: Uint32Array, count: number): void

  /**
   * A bucket without its dead entries: what counts of the first `entries` entries in the chain from block `from` is copied into the chain
   * from block `to`, `room` at most. An entry counts when its row has the bucket as home or second; of two of one row the newer does.
   *
   * @param home, second - the two buckets of every row.
   * @param to - an empty chain of at least room / 32 blocks that shares none with `from`. Filled newest first.
   * @returns how many were copied.
   */
  indexCompact(
    index: IndexSlabs,
    home: Uint32Array,
    second: Uint32Array,
    bucket: number,
    from: number,
    entries: number,
    to: number,
    room: number,
  ): number

  /** The router's entries of buckets first .. first + count - 1, from `centroids` and `center`. */
  indexRouteEntries(index: IndexSlabs, first: number, count: number): void

  /**
   * The two buckets of rows[first .. first + count), into the same places of the outputs: the nearest by squared L2, and, unless
   * `second` is undefined, the one of least SOAR loss (0xffffffff when there is only one bucket). From the codes of the rows. Needs at
   * least one bucket.
   *
   * @param near - those of row j are chosen among near[j * width ...], as `indexNear` lists them, unless none of these is there (`width` of 1
   *   and more, 1 by default). Several times faster than looking at all.
   * @param weights - of each bucket: its squared distance counts so many times. With `near`, and without `second`.
   */
  indexAssign(
    index: IndexSlabs,
    rows: Uint32Array,
    first: number,
    count: number,
    home: Uint32Array,
    second: Uint32Array | undefined,
    near?: Uint32Array,
    width?: number,
    weights?: Float32Array,
  ): void

  /**
   * out[j * width ...] = the `width` buckets nearest to rows[j], first <= j < first + count: its home as `indexAssign` finds it, then by
   * squared L2 of the codes; 0xffffffff behind the last. Needs at least one bucket.
   */
  indexNear(
    index: IndexSlabs,
    rows: Uint32Array,
    first: number,
    count: number,
    width: number,
    out: Uint32Array,
  ): void

  /**
   * The two halves of a bucket's rows, the first `own` of which call it home: 2-means of these, by what their codes say; the others go to
   * the nearer half.
   *
   * @param first - and `second`: in [0, 1), by which two rows are drawn to start from.
   * @param side - of each row: 0 or 1. @param centroids - 2 D values.
   * @param blocks - room for `blocksOfHalves` of them: the entries of half 0 in order, and from a new block on those of half 1.
   * @returns blocks of half 0; 0: there are no two halves, and outputs mean nothing.
   */
  indexHalve(
    index: IndexSlabs,
    rows: Uint32Array,
    own: number,
    count: number,
    first: number,
    second: number,
    side: Uint32Array,
    centroids: Float32Array,
    blocks: Uint8Array,
  ): number

  /** out[j * width ...] = the `width` buckets nearest to bucket first + j, itself among them; 0xffffffff behind the last. j < count. */
  indexNeighbours(index: IndexSlabs, first: number, count: number, width: number, out: Uint32Array): void

  /** CRC32C (Castagnoli, reflected, init and xorout 0xffffffff); `seed` is the CRC of what came before, 0 at the start. */
  crc32c(bytes: Uint8Array, seed?: number): number

  /** XXH64 of the bytes with a 64-bit seed. */
  hash64(bytes: Uint8Array, seed?: bigint): bigint

  /** out[i] = a[i] & b[i], i < words; `out` may be one of them. @returns the bits that are set in both. */
  bitsAnd(a: Uint32Array, b: Uint32Array, words: number, out: Uint32Array): number

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
