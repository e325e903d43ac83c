/**
 * The compiled kernels behind the contract: metrics become numbers, negative results become errors. Arguments were
 * checked before (lib/checked.ts); C checks nothing but the words of a graph.
 */
import { addon, type RawKernels } from './addon.js'
import { NativeError } from './error.js'
import type { IndexQuery, IndexSlabs } from './index-slabs.js'
import type { KernelMetric, Kernels, KernelVariant } from './kernels.js'

/** `drift_metric` and the negative codes of src/kernels.h. */
const L2 = 0
const IP = 1
const DAMAGED_GRAPH = -1
const NO_MEMORY = -2

type CMetric = typeof L2 | typeof IP

/** The functions of Kernels with C's metric in the place of ours. */
type C<Name extends keyof Kernels> = Kernels[Name] extends (...args: infer A) => infer R
  ? (...args: { [I in keyof A]: A[I] extends KernelMetric ? CMetric : A[I] }) => R
  : never

export function nativeKernels(variant: KernelVariant, raw: RawKernels): Kernels {
  const distances = raw.distances as C<'distances'>
  const distancesGather = raw.distancesGather as C<'distancesGather'>
  const sq8Distances = raw.sq8Distances as C<'sq8Distances'>
  const sq8DistancesGather = raw.sq8DistancesGather as C<'sq8DistancesGather'>
  const hnswInsert = raw.hnswInsert as C<'hnswInsert'>
  const hnswSearch = raw.hnswSearch as C<'hnswSearch'>
  const affineDistances = raw.affineDistances as C<'affineDistances'>
  const indexSearch = raw.indexSearch as (...args: unknown[]) => number
  const indexSearchMany = raw.indexSearchMany as (...args: unknown[]) => number
  const indexAppend = raw.indexAppend as (...args: unknown[]) => number
  const indexAppendTail = raw.indexAppendTail as (...args: unknown[]) => number
  const indexCopy = raw.indexCopy as (...args: unknown[]) => void
  const indexCompact = raw.indexCompact as (...args: unknown[]) => number
  const indexRouteEntries = raw.indexRouteEntries as (...args: unknown[]) => void
  const indexAssign = raw.indexAssign as (...args: unknown[]) => number
  const indexHalve = raw.indexHalve as (...args: unknown[]) => number
  const indexNear = raw.indexNear as (...args: unknown[]) => number
  const indexNeighbours = raw.indexNeighbours as (...args: unknown[]) => number
  const encodeRows = raw.encodeRows as (...args: Parameters<Kernels['encodeRows']>) => number
  const project = raw.project as (...args: Parameters<Kernels['project']>) => number
  return {
    variant,
    rotate: raw.rotate as Kernels['rotate'],
    nearest: raw.nearest as Kernels['nearest'],
    nearestByHeads: raw.nearestByHeads as Kernels['nearestByHeads'],
    sumRows: raw.sumRows as Kernels['sumRows'],
    squaredLengths: raw.squaredLengths as Kernels['squaredLengths'],
    normalise: raw.normalise as Kernels['normalise'],
    sq8Encode: raw.sq8Encode as Kernels['sq8Encode'],
    sq8Query: raw.sq8Query as Kernels['sq8Query'],
    topK: raw.topK as Kernels['topK'],
    lutDistances: raw.lutDistances as Kernels['lutDistances'],
    fastScan: raw.fastScan as Kernels['fastScan'],
    crc32c: raw.crc32c as Kernels['crc32c'],
    hash64: raw.hash64 as Kernels['hash64'],
    bitsAnd: raw.bitsAnd as Kernels['bitsAnd'],
    floatPageEncode: raw.floatPageEncode as Kernels['floatPageEncode'],
    floatPageDecode: raw.floatPageDecode as Kernels['floatPageDecode'],
    bitsPack: raw.bitsPack as Kernels['bitsPack'],
    bitsUnpack: raw.bitsUnpack as Kernels['bitsUnpack'],

    distances(metric, query, rows, dim, first, count, out) {
      distances(metricOf(metric), query, rows, dim, first, count, out)
    },
    distancesGather(metric, query, rows, dim, index, count, out) {
      distancesGather(metricOf(metric), query, rows, dim, index, count, out)
    },
    sq8Distances(metric, query, queryFactors, codes, factors, dim, first, count, out) {
      sq8Distances(metricOf(metric), query, queryFactors, codes, factors, dim, first, count, out)
    },
    sq8DistancesGather(metric, query, queryFactors, codes, factors, dim, index, count, out) {
      sq8DistancesGather(metricOf(metric), query, queryFactors, codes, factors, dim, index, count, out)
    },
    project(rows, dim, index, count, middle, directions, width, out) {
      countOf(project(rows, dim, index, count, middle, directions, width, out))
    },
    encodeRows(from, dim, sources, isUnit, kept, places, padded, flips, rows, codes, factors) {
      countOf(encodeRows(from, dim, sources, isUnit, kept, places, padded, flips, rows, codes, factors))
    },
    indexSearch(index, ask, query, outRow, outDistance, at, effort) {
      const { allow, extra, tails, trace } = ask
      const descriptor = descriptorOf(index)
      writeNumbers(index, ask, at, 0, 1)
      return countOf(
        indexSearch(
          descriptor,
          numbers,
          query,
          outRow,
          outDistance,
          effort,
          extra,
          allow?.bits,
          allow?.counts,
          allow?.masks,
          tails,
          trace,
        ),
      )
    },
    indexSearchMany(index, ask, queries, first, count, stride, outRow, outDistance, outCount) {
      const { allow, extra, tails } = ask
      const descriptor = descriptorOf(index)
      writeNumbers(index, ask, stride, first, count)
      countOf(
        indexSearchMany(
          descriptor,
          numbers,
          queries,
          outRow,
          outDistance,
          outCount,
          extra,
          allow?.bits,
          allow?.counts,
          allow?.masks,
          tails,
        ),
      )
    },
    indexAppend(index, rows, buckets, slots, count) {
      countOf(indexAppend(descriptorOf(index), rows, buckets, slots, count))
    },
    indexAppendTail(index, reference, rows, slots, count) {
      countOf(indexAppendTail(descriptorOf(index), reference, rows, slots, count))
    },
    indexCopy(index, from, to, count) {
      indexCopy(descriptorOf(index), from, to, count)
    },
    indexCompact(index, home, second, bucket, from, entries, to, room) {
      return countOf(indexCompact(descriptorOf(index), home, second, bucket, from, entries, to, room))
    },
    indexRouteEntries(index, first, count) {
      indexRouteEntries(descriptorOf(index), first, count)
    },
    indexAssign(index, rows, first, count, home, second, near, width, weights) {
      const { bucketCount } = index
      countOf(
        indexAssign(descriptorOf(index), bucketCount, rows, first, count, home, second, near, width, weights),
      )
    },
    indexNear(index, rows, first, count, width, out) {
      countOf(indexNear(descriptorOf(index), index.bucketCount, rows, first, count, width, out))
    },
    indexHalve(index, rows, own, count, first, second, side, centroids, blocks) {
      return countOf(
        indexHalve(descriptorOf(index), rows, own, count, first, second, side, centroids, blocks),
      )
    },
    indexNeighbours(index, first, count, width, out) {
      countOf(indexNeighbours(descriptorOf(index), index.bucketCount, first, count, width, out))
    },
    affineDistances(metric, offset, step, codes, dim, first, count, out) {
      affineDistances(metricOf(metric), offset, step, codes, dim, first, count, out)
    },
    hnswInsert(graph, metric, rows, dim, count, codes, factors, codeDim = dim) {
      return countOf(hnswInsert(graph, metricOf(metric), rows, dim, count, codes, factors, codeDim))
    },
    hnswSearch(
      graph,
      metric,
      rows,
      dim,
      query,
      ef,
      live,
      outRow,
      outDistance,
      queryCodes,
      queryFactors,
      codes,
      factors,
    ) {
      return countOf(
        hnswSearch(
          graph,
          metricOf(metric),
          rows,
          dim,
          query,
          ef,
          live,
          outRow,
          outDistance,
          queryCodes,
          queryFactors,
          codes,
          factors,
        ),
      )
    },
  }
}

/**
 * A drift_index of C, made once: pointers into shared memory, which does not move, and to the descriptor of its groups, whose number is
 * fixed. The index holds the arrays and the groups, and lives while it is looked up, so the pointers are good; nobody else sees them.
 */
const descriptors = new WeakMap<IndexSlabs, Uint8Array>()

function descriptorOf(index: IndexSlabs): Uint8Array {
  const known = descriptors.get(index)
  if (known !== undefined) return known
  const { metric, routing, dim, padded, vectors, codes, factors, live, flips } = index
  const made = new Uint8Array(new SharedArrayBuffer(addon!.indexBytes))
  addon!.describeIndex(
    made,
    metricOf(metric),
    metricOf(routing),
    dim,
    padded,
    flips,
    vectors,
    codes,
    factors,
    live,
    index.centroids,
    index.centroidCodes,
    index.centroidFactors,
    index.router,
    index.center,
    index.heads,
    index.sizes,
    index.lives,
    index.next,
    index.blocks,
    index.groups && descriptorOf(index.groups),
    index.bucketCount,
    index.readsAll === true,
    index.codebooks,
  )
  descriptors.set(index, made)
  return made
}

/** Of a search, in the order of `Numbers` in src/binding.cc; good until the call returns. */
const numbers = new Float64Array(23)

/** @param at - first result of one query, or results of each. @param first, count - queries. */
function writeNumbers(index: IndexSlabs, ask: IndexQuery, at: number, first: number, count: number): void {
  numbers[0] = index.rowLimit
  numbers[1] = index.bucketCount
  numbers[2] = ask.k
  numbers[3] = ask.probes
  numbers[4] = ask.floor
  numbers[5] = ask.byRank
  numbers[6] = ask.byRatio
  numbers[7] = ask.bySize
  numbers[8] = ask.meanLives
  numbers[9] = ask.rerank
  numbers[10] = ask.part
  numbers[11] = ask.parts
  numbers[12] = ask.extraCount
  numbers[13] = ask.least
  numbers[14] = ask.near
  numbers[15] = ask.flat
  numbers[16] = ask.flatTimes
  numbers[17] = ask.far
  numbers[18] = ask.farTimes
  numbers[19] = at
  numbers[20] = first
  numbers[21] = count
  numbers[22] = ask.tailWords
}

function metricOf(metric: KernelMetric): CMetric {
  return metric === 'l2' ? L2 : IP
}

function countOf(result: number): number {
  if (result >= 0) return result
  if (result === NO_MEMORY)
    throw new NativeError('DRIFT_OUT_OF_MEMORY', 'no memory for the scratch of a kernel')
  throw new NativeError('DRIFT_HNSW_LAYOUT', 'the graph is damaged: a word of it is out of range', {
    result,
    damaged: result === DAMAGED_GRAPH,
  })
}
