/**
 * Argument checks in front of a set of kernels, the same for every variant: after them a kernel touches only memory
 * that it was given. A wrong argument throws DRIFT_KERNEL_ARGUMENT before anything is read or written.
 */
import { NativeError } from './error.js'
import { floatPageRoom, packedBytes } from './float-page.js'
import { HNSW_CAPACITY, HNSW_LINKED, HNSW_ROWS, requireHnsw } from './hnsw.js'
import type { KernelMetric, Kernels } from './kernels.js'

/** Longest vector: keeps 255 * 127 * dim, the largest integer sum of SQ8, inside 31 bits. */
export const MAX_DIMENSION = 65_535

export function checked(kernels: Kernels): Kernels {
  return {
    variant: kernels.variant,

    distances(metric, query, rows, dim, first, count, out) {
      requireMetric(metric)
      requireDim(dim)
      requireFloats('query', query, dim)
      requireCount('first', first)
      requireCount('count', count)
      requireFloats('rows', rows, (first + count) * dim)
      requireFloats('out', out, count)
      kernels.distances(metric, query, rows, dim, first, count, out)
    },

    distancesGather(metric, query, rows, dim, index, count, out) {
      requireMetric(metric)
      requireDim(dim)
      requireFloats('query', query, dim)
      requireFloats('rows', rows, 0)
      requireIndex(index, count, Math.floor(rows.length / dim))
      requireFloats('out', out, count)
      kernels.distancesGather(metric, query, rows, dim, index, count, out)
    },

    nearest(rows, dim, index, count, centroids, k, outCentroid, outDistance) {
      requireDim(dim)
      requireFloats('rows', rows, 0)
      requireIndex(index, count, Math.floor(rows.length / dim))
      requireCount('k', k)
      if (k === 0) throw wrong('k', '0', 'at least 1')
      requireFloats('centroids', centroids, k * dim)
      requireWords('outCentroid', outCentroid, count)
      requireFloats('outDistance', outDistance, count)
      kernels.nearest(rows, dim, index, count, centroids, k, outCentroid, outDistance)
    },

    sq8Encode(rows, dim, first, count, codes, factors) {
      requireDim(dim)
      requireCount('first', first)
      requireCount('count', count)
      requireFloats('rows', rows, (first + count) * dim)
      requireBytes('codes', codes, (first + count) * dim)
      requireFloats('factors', factors, (first + count) * 2)
      kernels.sq8Encode(rows, dim, first, count, codes, factors)
    },

    sq8Query(query, out, outFactors) {
      requireFloats('query', query, 1)
      requireDim(query.length)
      requireCodes('out', out, query.length)
      requireFloats('outFactors', outFactors, 3)
      kernels.sq8Query(query, out, outFactors)
    },

    sq8Distances(metric, query, queryFactors, codes, factors, dim, first, count, out) {
      requireMetric(metric)
      requireDim(dim)
      requireCodes('query', query, dim)
      requireFloats('queryFactors', queryFactors, 3)
      requireCount('first', first)
      requireCount('count', count)
      requireBytes('codes', codes, (first + count) * dim)
      requireFloats('factors', factors, (first + count) * 2)
      requireFloats('out', out, count)
      kernels.sq8Distances(metric, query, queryFactors, codes, factors, dim, first, count, out)
    },

    sq8DistancesGather(metric, query, queryFactors, codes, factors, dim, index, count, out) {
      requireMetric(metric)
      requireDim(dim)
      requireCodes('query', query, dim)
      requireFloats('queryFactors', queryFactors, 3)
      requireBytes('codes', codes, 0)
      requireFloats('factors', factors, 0)
      requireIndex(index, count, Math.min(Math.floor(codes.length / dim), factors.length >>> 1))
      requireFloats('out', out, count)
      kernels.sq8DistancesGather(metric, query, queryFactors, codes, factors, dim, index, count, out)
    },

    topK(distances, count, k, outPosition, outDistance) {
      requireCount('count', count)
      requireCount('k', k)
      requireFloats('distances', distances, count)
      requireWords('outPosition', outPosition, Math.min(k, count))
      requireFloats('outDistance', outDistance, Math.min(k, count))
      return kernels.topK(distances, count, Math.min(k, count), outPosition, outDistance)
    },

    collectRows(entries, next, heads, buckets, count, home, second, marks, mark, rowLimit, out) {
      requireCount('count', count)
      requireCount('mark', mark)
      requireCount('rowLimit', rowLimit)
      requireWords('next', next, 0)
      requireWords('entries', entries, 32 * next.length)
      requireWords('heads', heads, 0)
      requireWords('buckets', buckets, count)
      requireRows('buckets', buckets, 0, count, heads.length)
      requireWords('home', home, rowLimit)
      requireWords('second', second, rowLimit)
      requireWords('marks', marks, 0)
      requireWords('out', out, 0)
      return kernels.collectRows(
        entries,
        next,
        heads,
        buckets,
        count,
        home,
        second,
        marks,
        mark,
        rowLimit,
        out,
      )
    },

    hnswInsert(graph, metric, rows, dim, count) {
      requireMetric(metric)
      requireDim(dim)
      requireWords('graph', graph, 0)
      requireHnsw(graph)
      requireFloats('rows', rows, 0)
      requireCount('count', count)
      const linked = graph[HNSW_LINKED]!
      const capacity = graph[HNSW_CAPACITY]!
      if (linked + count > capacity) {
        throw wrong('count', String(count), `at most the ${capacity - linked} nodes that are not linked yet`)
      }
      const rowCount = Math.floor(rows.length / dim)
      requireRows('graph rows', graph, HNSW_ROWS + linked, HNSW_ROWS + linked + count, rowCount)
      return kernels.hnswInsert(graph, metric, rows, dim, count)
    },

    hnswSearch(graph, metric, rows, dim, query, ef, live, outRow, outDistance) {
      requireMetric(metric)
      requireDim(dim)
      requireWords('graph', graph, 0)
      requireHnsw(graph)
      requireFloats('rows', rows, 0)
      requireFloats('query', query, dim)
      requireCount('ef', ef)
      if (ef === 0) throw wrong('ef', '0', 'at least 1')
      requireWords('live', live, 0)
      requireWords('outRow', outRow, 0)
      requireFloats('outDistance', outDistance, outRow.length)
      return kernels.hnswSearch(graph, metric, rows, dim, query, ef, live, outRow, outDistance)
    },

    crc32c(bytes, seed = 0) {
      requireBytes('bytes', bytes, 0)
      requireCount('seed', seed)
      return kernels.crc32c(bytes, seed)
    },

    hash64(bytes, seed = 0n) {
      requireBytes('bytes', bytes, 0)
      if (typeof seed !== 'bigint' || seed < 0n || seed > 0xffff_ffff_ffff_ffffn) {
        throw wrong('seed', describe(seed), 'a bigint of 64 bits')
      }
      return kernels.hash64(bytes, seed)
    },

    floatPageEncode(values, page) {
      requireValues('values', values)
      requireCount('values.length', values.length)
      requireBytes('page', page, floatPageRoom(values.length, values.BYTES_PER_ELEMENT))
      return kernels.floatPageEncode(values, page)
    },

    floatPageDecode(page, values, first, out) {
      requireBytes('page', page, 0)
      requireCount('values', values)
      requireCount('first', first)
      requireValues('out', out)
      if (first + out.length > values) {
        throw wrong(
          'first',
          String(first),
          `at most ${values - out.length}, so that ${out.length} values follow`,
        )
      }
      return kernels.floatPageDecode(page, values, first, out)
    },

    bitsPack(words, width, out) {
      requireView('words', words, 'BigUint64Array', 0)
      requireWidth(width)
      requireBytes('out', out, packedBytes(words.length, width))
      kernels.bitsPack(words, width, out)
    },

    bitsUnpack(bytes, width, out) {
      requireView('out', out, 'BigUint64Array', 0)
      requireWidth(width)
      requireBytes('bytes', bytes, packedBytes(out.length, width))
      kernels.bitsUnpack(bytes, width, out)
    },
  }
}

function requireMetric(metric: KernelMetric): void {
  if (metric !== 'l2' && metric !== 'ip') throw wrong('metric', describe(metric), "'l2' or 'ip'")
}

function requireDim(dim: number): void {
  if (Number.isInteger(dim) && dim >= 1 && dim <= MAX_DIMENSION) return
  throw wrong('dim', describe(dim), `1..${MAX_DIMENSION}`)
}

/** Counts, row numbers and seeds are u32: no array here is longer, and products with `dim` stay exact. */
function requireCount(name: string, count: number): void {
  if (typeof count === 'number' && count >>> 0 === count) return
  throw wrong(name, describe(count), 'an integer of 32 bits')
}

function requireIndex(index: Uint32Array, count: number, rowCount: number): void {
  requireCount('count', count)
  requireWords('index', index, count)
  requireRows('index', index, 0, count, rowCount)
}

function requireRows(name: string, rows: Uint32Array, start: number, end: number, rowCount: number): void {
  for (let j = start; j < end; j++) {
    if (rows[j]! >= rowCount) {
      throw wrong(`${name}[${j - start}]`, String(rows[j]), `a row below ${rowCount}`)
    }
  }
}

function requireFloats(name: string, view: Float32Array, length: number): void {
  requireView(name, view, 'Float32Array', length)
}

function requireWords(name: string, view: Uint32Array, length: number): void {
  requireView(name, view, 'Uint32Array', length)
}

function requireCodes(name: string, view: Int8Array, length: number): void {
  requireView(name, view, 'Int8Array', length)
}

function requireValues(name: string, view: Float32Array | Float64Array): void {
  requireView(name, view, kindOf(view) === 'Float64Array' ? 'Float64Array' : 'Float32Array', 0)
}

/** Of a packed word. */
function requireWidth(width: number): void {
  if (!(Number.isInteger(width) && width >= 0 && width < 64)) throw wrong('width', describe(width), '0..63')
}

function requireBytes(name: string, view: Uint8Array, length: number): void {
  requireView(name, view, 'Uint8Array', length)
}

/** By tag, not by instanceof: a prototype can be borrowed, and a view of another realm (vm, jsdom) is as good. */
function requireView(name: string, view: { readonly length: number }, kind: string, length: number): void {
  if (kindOf(view) !== kind) throw wrong(name, describe(view), `a ${kind}`)
  if (view.length < length) {
    throw wrong(name, `a ${kind} of ${view.length} values`, `at least ${length} values`)
  }
}

const typedArrayTag: () => string | undefined = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)!.get!

/** 'Float32Array' and so on for a typed array, undefined for anything else. */
function kindOf(value: unknown): string | undefined {
  return typedArrayTag.call(value)
}

function describe(value: unknown): string {
  if (typeof value === 'object' && value !== null) return kindOf(value) ?? 'an object'
  return typeof value === 'function' ? 'a function' : String(value)
}

function wrong(argument: string, value: string, expected: string): NativeError {
  return new NativeError('DRIFT_KERNEL_ARGUMENT', `${argument} is ${value}, expected ${expected}`, {
    argument,
    value,
    expected,
  })
}
