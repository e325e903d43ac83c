/**
 * What every quantizer does: rows to short codes, codes back to rows, and distances from a query to codes without decoding
 * them. Rule: a quantizer never changes once it is made, and its codes are bytes without pointers, so they can be stored,
 * shared between threads and read on another machine. Arguments are checked here, once for all kinds.
 */
import { type KernelMetric, kernels, MAX_DIMENSION } from '@drift/native'
import { CoreError } from '../errors.js'
import { validateVectors } from '../metric.js'

export type QuantizerKind = 'sq8' | 'pq' | 'sign'

export interface Quantizer {
  readonly kind: QuantizerKind
  readonly dim: number
  /** Rows that are coded together. Codes are whole blocks of them; the last one is filled up. */
  readonly blockRows: number
  readonly blockBytes: number
  /** XXH64 of what `serialise` gives. Kept beside codes, it tells which quantizer made them. */
  readonly id: bigint

  /**
   * @param vectors - rows of `dim` values.
   * @param out - at least `codesLength(quantizer, rows)` bytes, filled from its start.
   * @throws CoreError DRIFT_DIMENSION, DRIFT_VECTOR_VALUE; nothing is written then.
   */
  encode(vectors: Float32Array, out?: Uint8Array): Uint8Array

  /** The rows that the first `count` codes stand for. @throws CoreError DRIFT_DIMENSION. */
  decode(codes: Uint8Array, count: number, out?: Float32Array): Float32Array

  /**
   * out[j] = estimated distance of the query to the row of code j, j < count. Smaller is nearer: l2 squared Euclidean, ip
   * minus the inner product. An estimate beyond float32 is infinite or NaN. Codes may begin at any block.
   *
   * @throws CoreError DRIFT_DIMENSION, DRIFT_VECTOR_VALUE, DRIFT_METRIC.
   */
  distances(
    metric: KernelMetric,
    query: Float32Array,
    codes: Uint8Array,
    count: number,
    out: Float32Array,
  ): void

  /** Bytes for `deserialiseQuantizer`. */
  serialise(): Uint8Array
}

/** Bytes that the codes of `rows` rows take. */
export function codesLength({ blockRows, blockBytes }: Quantizer, rows: number): number {
  return Math.ceil(rows / blockRows) * blockBytes
}

/** One kind of quantizer without its checks: arguments fit, outputs are long enough and hold anything. */
export interface Coder extends Pick<Quantizer, 'kind' | 'dim' | 'blockRows' | 'blockBytes' | 'distances'> {
  encode(vectors: Float32Array, count: number, codes: Uint8Array): void
  decode(codes: Uint8Array, count: number, out: Float32Array): void
  /** The quantizer as bytes. */
  readonly bytes: Uint8Array
}

export function quantizerOf(coder: Coder): Quantizer {
  const { kind, dim, blockRows, blockBytes, bytes } = coder
  const quantizer: Quantizer = {
    kind,
    dim,
    blockRows,
    blockBytes,
    id: kernels.hash64(bytes),
    encode(vectors, out) {
      validateVectors(vectors, dim)
      const count = vectors.length / dim
      const length = codesLength(quantizer, count)
      const codes = out ?? new Uint8Array(length)
      requireLength('codes', codes.length, length)
      coder.encode(vectors, count, codes.subarray(0, length))
      return codes
    },
    decode(codes, count, out) {
      requireCodes(quantizer, codes, count)
      const rows = out ?? new Float32Array(count * dim)
      requireLength('out', rows.length, count * dim)
      coder.decode(codes, count, rows)
      return rows
    },
    distances(metric, query, codes, count, out) {
      if (metric !== 'l2' && metric !== 'ip') {
        throw new CoreError('DRIFT_METRIC', `metric is ${String(metric)}, expected l2 or ip`, { metric })
      }
      requireQuery(dim, query)
      requireCodes(quantizer, codes, count)
      requireLength('out', out.length, count)
      coder.distances(metric, query, codes, count, out)
    },
    serialise: () => bytes.slice(),
  }
  return quantizer
}

export function requireDim(dim: number): void {
  if (Number.isInteger(dim) && dim >= 1 && dim <= MAX_DIMENSION) return
  throw new CoreError('DRIFT_DIMENSION', `dimension ${dim} is not in 1..${MAX_DIMENSION}`, { dim })
}

/** @throws CoreError DRIFT_DIMENSION, DRIFT_VECTOR_VALUE, DRIFT_EMPTY_BATCH. */
export function requireTrainingRows(vectors: Float32Array, dim: number): void {
  requireDim(dim)
  validateVectors(vectors, dim)
  if (vectors.length === 0) throw new CoreError('DRIFT_EMPTY_BATCH', 'there is no row to learn from')
}

export function requireQuery(dim: number, query: Float32Array): void {
  validateVectors(query, dim)
  if (query.length !== dim) throw badLength('query', query.length, String(dim))
}

/** Refuse an array shorter than `needed` by its name. */
export function requireLength(name: string, length: number, needed: number): void {
  if (length < needed) throw badLength(name, length, `at least ${needed}`)
}

export function badOption(name: string, value: unknown, expected: string): CoreError {
  return new CoreError('DRIFT_OPTION', `${name} is ${String(value)}, expected ${expected}`, {
    option: name,
    value,
  })
}

function badLength(name: string, length: number, expected: string): CoreError {
  return new CoreError('DRIFT_DIMENSION', `${name} has ${length} values, expected ${expected}`, {
    name,
    length,
  })
}

function requireCodes(quantizer: Quantizer, codes: Uint8Array, count: number): void {
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new CoreError('DRIFT_DIMENSION', `count is ${count}, expected 0 or more`, { count })
  }
  requireLength('codes', codes.length, codesLength(quantizer, count))
}
