/**
 * The compiled kernels behind the contract: metrics become numbers, negative results become errors. Arguments were
 * checked before (lib/checked.ts); C checks nothing but the words of a graph.
 */
import type { RawKernels } from './addon.js'
import { NativeError } from './error.js'
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
  return {
    variant,
    nearest: raw.nearest as Kernels['nearest'],
    sq8Encode: raw.sq8Encode as Kernels['sq8Encode'],
    sq8Query: raw.sq8Query as Kernels['sq8Query'],
    topK: raw.topK as Kernels['topK'],
    collectRows: raw.collectRows as Kernels['collectRows'],
    crc32c: raw.crc32c as Kernels['crc32c'],
    hash64: raw.hash64 as Kernels['hash64'],
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
    hnswInsert(graph, metric, rows, dim, count) {
      return countOf(hnswInsert(graph, metricOf(metric), rows, dim, count))
    },
    hnswSearch(graph, metric, rows, dim, query, ef, live, outRow, outDistance) {
      return countOf(hnswSearch(graph, metricOf(metric), rows, dim, query, ef, live, outRow, outDistance))
    },
  }
}

function metricOf(metric: KernelMetric): CMetric {
  return metric === 'l2' ? L2 : IP
}

function countOf(result: number): number {
  if (result >= 0) return result
  if (result === NO_MEMORY)
    throw new NativeError('DRIFT_OUT_OF_MEMORY', 'no memory for the scratch of a graph kernel')
  throw new NativeError('DRIFT_HNSW_LAYOUT', 'the graph is damaged: a word of it is out of range', {
    result,
    damaged: result === DAMAGED_GRAPH,
  })
}
