/**
 * Product quantization: a row is cut into subspaces, and each piece is named by the nearest of its subspace's 256 or 16
 * centroids (Jegou, Douze, Schmid 2011). A distance is a sum of table entries, one per subspace; with 4 bits the table is
 * rounded to 7 bits and stays in registers (FastScan; Andre, Kermarrec, Le Scouarnec 2015), 32 rows at a time.
 * Rule: subspaces are stretches of whole values; where their number does not divide the dimension, the first are one longer.
 * Inside, values are divided by a power of two near the largest learnt from, so that 1e30 and 1e-30 square without loss.
 */
import { type KernelMetric, kernels } from '@drift/native'
import { requireKnown } from '../arguments.js'
import { Rotation } from '../rotation.js'
import { FAST_SCAN_ROWS, fastScanBytes, nibbleAt, putNibble, scan, scanTable } from './fast-scan.js'
import { columnOf, trainCodebooks } from './pq-training.js'
import { badOption, type Quantizer, quantizerOf, requireTrainingRows } from './quantizer.js'
import { corrupt, type StoredQuantizer, writeStored } from './stored.js'

export interface PqTraining {
  readonly dim: number
  /** Codes of a row, in 1..dim. The bytes of a row are as many with 8 bits, half as many with 4. */
  readonly subspaces: number
  /** Of a code. Default 8. 4 trains several times faster; at equal bytes, with twice the subspaces, it loses somewhat more. */
  readonly bits?: 4 | 8
  /**
   * Rotate rows first, so that each subspace holds a like share. Helps where a few values hold most of the variance. Rows are
   * padded with zeros to a multiple of 64 then, and codes spend some accuracy on the padding.
   */
  readonly rotate?: boolean
  readonly seed: number
  /** Of k-means, at most. Default 20. */
  readonly iterations?: number
  /** Rows to learn from, spread evenly over all. Default 64 per centroid, and at least 4 096. */
  readonly sampleRows?: number
  /** Asked between iterations. */
  readonly signal?: Pick<AbortSignal, 'throwIfAborted'> | undefined
  /** After each subspace. */
  readonly onProgress?: ((done: number, subspaces: number) => void) | undefined
}

const PQ_OPTIONS: Record<keyof PqTraining, true> = {
  dim: true,
  subspaces: true,
  bits: true,
  rotate: true,
  seed: true,
  iterations: true,
  sampleRows: true,
  signal: true,
  onProgress: true,
}

/** @throws CoreError DRIFT_EMPTY_BATCH, DRIFT_DIMENSION, DRIFT_VECTOR_VALUE, DRIFT_OPTION; whatever the signal throws. */
export function trainPq(vectors: Float32Array, options: PqTraining): Quantizer {
  requireKnown(options, PQ_OPTIONS, 'trainPq')
  const { dim, subspaces, bits = 8, rotate = false, seed, iterations = DEFAULT_ITERATIONS } = options
  requireTrainingRows(vectors, dim)
  if (!(Number.isInteger(subspaces) && subspaces >= 1 && subspaces <= dim))
    throw badOption('subspaces', subspaces, `an integer in 1..${dim}`)
  if (bits !== 4 && bits !== 8) throw badOption('bits', bits, '4 or 8')
  if (!Number.isSafeInteger(seed)) throw badOption('seed', seed, 'a safe integer')
  const centroids = 2 ** bits
  const { sampleRows = Math.max(MIN_SAMPLE_ROWS, ROWS_PER_CENTROID * centroids) } = options
  if (!(sampleRows >= 1)) throw badOption('sampleRows', sampleRows, 'at least 1')
  if (!(Number.isSafeInteger(iterations) && iterations >= 0))
    throw badOption('iterations', iterations, '0 or more')

  const shape = shapeOf(dim, subspaces, bits, rotate, seed)
  const sample = spread(vectors, dim, Math.min(vectors.length / dim, Math.floor(sampleRows)))
  const scale = powerOfTwoNear(sample)
  const rows = inwards(shape, scale, sample, sample.length / dim)
  const values = new Float32Array(1 + centroids * shape.inner)
  values[0] = scale
  values.set(trainCodebooks(rows, shape.bounds, centroids, { ...options, iterations }), 1)
  return pqOf(shape, values)
}

/** @throws CoreError DRIFT_QUANTIZER_CORRUPT. */
export function pqFrom({ dim, subspaces, bits, rotated, seed, values }: StoredQuantizer): Quantizer {
  if (bits !== 4 && bits !== 8) throw corrupt(`has codes of ${bits} bits`)
  if (subspaces < 1 || subspaces > dim) throw corrupt(`cuts ${dim} dimensions into ${subspaces}`)
  const shape = shapeOf(dim, subspaces, bits, rotated, seed)
  if (values.length !== 1 + 2 ** bits * shape.inner) throw corrupt(`has codebooks of ${values.length} values`)
  if (!(values[0]! > 0)) throw corrupt(`has the scale ${values[0]}`)
  return pqOf(shape, values)
}

/** What is known before any row is seen. */
interface Shape {
  readonly dim: number
  readonly subspaces: number
  readonly bits: 4 | 8
  readonly seed: number
  readonly rotation: Rotation | undefined
  /** Values of a row inside: `dim`, or what the rotation makes of it. */
  readonly inner: number
  /** Subspace m has the values bounds[m] .. bounds[m + 1] - 1. Its centroids begin at 2^bits * bounds[m]. */
  readonly bounds: Uint32Array
}

function shapeOf(dim: number, subspaces: number, bits: 4 | 8, rotate: boolean, seed: number): Shape {
  const rotation = rotate ? new Rotation(dim, seed) : undefined
  const inner = rotation?.padded ?? dim
  const width = Math.floor(inner / subspaces)
  const longer = inner % subspaces
  const bounds = Uint32Array.from({ length: subspaces + 1 }, (_, m) => m * width + Math.min(m, longer))
  return { dim, subspaces, bits, seed, rotation, inner, bounds }
}

/** @param values - scale, then the codebooks. */
function pqOf(shape: Shape, values: Float32Array): Quantizer {
  const { dim, subspaces, bits, seed, rotation } = shape
  const scale = values[0]!
  const books = values.subarray(1)
  const byNibble = bits === 4
  return quantizerOf({
    kind: 'pq',
    dim,
    blockRows: byNibble ? FAST_SCAN_ROWS : 1,
    blockBytes: byNibble ? fastScanBytes(subspaces) : subspaces,
    bytes: writeStored({ kind: 'pq', dim, subspaces, bits, rotated: rotation !== undefined, seed, values }),
    encode(vectors, count, codes) {
      codes.fill(0)
      for (let first = 0; first < count; first += CHUNK_ROWS) {
        const some = Math.min(CHUNK_ROWS, count - first)
        const rows = inwards(shape, scale, vectors.subarray(first * dim), some)
        encodeRows(shape, books, rows, first, some, codes)
      }
    },
    decode(codes, count, out) {
      for (let first = 0; first < count; first += CHUNK_ROWS) {
        const some = Math.min(CHUNK_ROWS, count - first)
        const rows = decodeRows(shape, scale, books, codes, first, some)
        const place = out.subarray(first * dim, (first + some) * dim)
        if (rotation === undefined) place.set(rows)
        else rotation.undo(rows, some, place)
      }
    },
    distances(metric, query, codes, count, out) {
      const table = tableOf(shape, scale, books, metric, query)
      const unit = scale * scale
      if (byNibble) {
        const small = scanTable(table)
        scan(small, fastScanBytes(subspaces), codes, count, (sums, first, rows) => {
          for (let j = 0; j < rows; j++) out[first + j] = (small.bias + small.step * sums[j]!) * unit
        })
      } else {
        for (let i = 0; i < table.length; i++) table[i]! *= unit
        kernels.lutDistances(table, subspaces, codes, 0, count, out)
      }
    },
  })
}

const DEFAULT_ITERATIONS = 20
const ROWS_PER_CENTROID = 64
const MIN_SAMPLE_ROWS = 4096
/** Rows turned and cut at a time: their copies stay in the cache. */
const CHUNK_ROWS = 256
/** Inside, nothing is larger: its square times any dimension is a float32. Rows there are far from all learnt from. */
const INNER_LIMIT = 1e16
/** Rows 0 .. CHUNK_ROWS - 1. */
const EVERY_ROW: Uint32Array = Uint32Array.from({ length: CHUNK_ROWS }, (_, j) => j)

/** `taken` rows of `vectors`, evenly spread. */
function spread(vectors: Float32Array, dim: number, taken: number): Float32Array {
  const count = vectors.length / dim
  if (taken === count) return vectors
  const sample = new Float32Array(taken * dim)
  for (let j = 0; j < taken; j++) {
    const row = Math.floor((j * count) / taken)
    sample.set(vectors.subarray(row * dim, (row + 1) * dim), j * dim)
  }
  return sample
}

/** The largest magnitude rounded down to a power of two, so that dividing by it is exact; 1 when all is zero. */
function powerOfTwoNear(values: Float32Array): number {
  let largest = 0
  for (const value of values) largest = Math.max(largest, Math.abs(value))
  return largest === 0 ? 1 : 2 ** Math.floor(Math.log2(largest))
}

/** The first `count` rows as they are seen inside: divided, turned; a copy. */
function inwards(
  { dim, rotation, inner }: Shape,
  scale: number,
  rows: Float32Array,
  count: number,
): Float32Array {
  const scaled = new Float32Array(count * dim)
  for (let i = 0; i < scaled.length; i++)
    scaled[i] = Math.max(-INNER_LIMIT, Math.min(INNER_LIMIT, rows[i]! / scale))
  if (rotation === undefined) return scaled
  const turned = new Float32Array(count * inner)
  rotation.apply(scaled, 0, count, turned)
  return turned
}

/** Codes of `count` rows, at most CHUNK_ROWS, to rows first .. of `codes`. */
function encodeRows(
  { subspaces, bits, inner, bounds }: Shape,
  books: Float32Array,
  rows: Float32Array,
  first: number,
  count: number,
  codes: Uint8Array,
): void {
  const centroids = 2 ** bits
  const nearest = new Uint32Array(count)
  const distance = new Float32Array(count)
  const stride = fastScanBytes(subspaces)
  for (let m = 0; m < subspaces; m++) {
    const [from, to] = [bounds[m]!, bounds[m + 1]!]
    const book = books.subarray(centroids * from, centroids * to)
    const column = columnOf(rows, inner, from, to, count)
    kernels.nearest(column, to - from, EVERY_ROW, count, book, centroids, nearest, distance)
    if (bits === 8) for (let j = 0; j < count; j++) codes[(first + j) * subspaces + m] = nearest[j]!
    else for (let j = 0; j < count; j++) putNibble(codes, stride, first + j, m, nearest[j]!)
  }
}

/** The rows that the codes of rows first .. first + count - 1 stand for, still turned. */
function decodeRows(
  { subspaces, bits, inner, bounds }: Shape,
  scale: number,
  books: Float32Array,
  codes: Uint8Array,
  first: number,
  count: number,
): Float32Array {
  const rows = new Float32Array(count * inner)
  const stride = fastScanBytes(subspaces)
  for (let j = 0; j < count; j++) {
    for (let m = 0; m < subspaces; m++) {
      const from = bounds[m]!
      const to = bounds[m + 1]!
      const code = bits === 8 ? codes[(first + j) * subspaces + m]! : nibbleAt(codes, stride, first + j, m)
      const centroid = 2 ** bits * from + code * (to - from)
      for (let i = from; i < to; i++) rows[j * inner + i] = books[centroid + i - from]! * scale
    }
  }
  return rows
}

/** Entry m * 2^bits + c: what code c of subspace m adds to the distance inside. */
function tableOf(
  shape: Shape,
  scale: number,
  books: Float32Array,
  metric: KernelMetric,
  outerQuery: Float32Array,
): Float32Array {
  const { subspaces, bits, bounds } = shape
  const centroids = 2 ** bits
  const inner = inwards(shape, scale, outerQuery, 1)
  const table = new Float32Array(subspaces * centroids)
  for (let m = 0; m < subspaces; m++) {
    const [from, to] = [bounds[m]!, bounds[m + 1]!]
    const book = books.subarray(centroids * from, centroids * to)
    const entries = table.subarray(m * centroids, (m + 1) * centroids)
    const query = inner.subarray(from, to)
    // 16 distances of few values take less time than the call of a kernel.
    if (bits === 4) fewDistances(metric, query, book, entries)
    else kernels.distances(metric, query, book, to - from, 0, centroids, entries)
  }
  return table
}

function fewDistances(
  metric: KernelMetric,
  query: Float32Array,
  book: Float32Array,
  out: Float32Array,
): void {
  const width = query.length
  for (let c = 0; c < out.length; c++) {
    let sum = 0
    for (let i = 0; i < width; i++) {
      const value = book[c * width + i]!
      sum += metric === 'l2' ? (query[i]! - value) ** 2 : -query[i]! * value
    }
    out[c] = sum
  }
}
