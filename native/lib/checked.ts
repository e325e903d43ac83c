/**
 * Argument checks in front of a set of kernels, the same for every variant: after them a kernel touches only memory
 * that it was given. A wrong argument throws DRIFT_KERNEL_ARGUMENT before anything is read or written.
 */
import {
  describe,
  requireBytes,
  requireCodes,
  requireCount,
  requireDim,
  requireDoubles,
  requireFloats,
  requireIndex,
  requireMetric,
  requireNumber,
  requireObject,
  requireRotation,
  requireRows,
  requireSq8Rows,
  requireValues,
  requireView,
  requireWidth,
  requireWords,
  wrong,
} from './argument.js'
import { floatPageRoom, packedBytes } from './float-page.js'
import { HNSW_CAPACITY, HNSW_LINKED, HNSW_ROWS, requireHnsw } from './hnsw.js'
import { blockBytes, blocksOfHalves, type IndexQuery, type IndexSlabs, requireSlabs } from './index-slabs.js'
import type { Kernels } from './kernels.js'

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

    nearestByHeads(
      rows,
      dim,
      index,
      count,
      centroids,
      k,
      heads,
      headDim,
      centroidHeads,
      slack,
      centroid,
      out,
    ) {
      requireDim(dim)
      requireFloats('rows', rows, 0)
      requireIndex(index, count, Math.floor(rows.length / dim))
      requireCount('k', k)
      if (k === 0) throw wrong('k', '0', 'at least 1')
      requireFloats('centroids', centroids, k * dim)
      requireDim(headDim)
      requireFloats('heads', heads, count * headDim)
      requireFloats('centroidHeads', centroidHeads, k * headDim)
      if (typeof slack !== 'number' || !(slack >= 0 && slack < Number.POSITIVE_INFINITY)) {
        throw wrong('slack', describe(slack), 'a finite number, at least 0')
      }
      requireWords('centroid', centroid, count)
      requireFloats('outDistance', out, count)
      // biome-ignore format: one call
      return kernels.nearestByHeads(rows, dim, index, count, centroids, k, heads, headDim, centroidHeads, slack, centroid, out)
    },

    project(rows, dim, index, count, middle, directions, width, out) {
      requireDim(dim)
      requireFloats('rows', rows, 0)
      requireIndex(index, count, Math.floor(rows.length / dim))
      requireFloats('middle', middle, dim)
      requireCount('width', width)
      requireFloats('directions', directions, width * dim)
      requireFloats('out', out, count * (width + 1))
      kernels.project(rows, dim, index, count, middle, directions, width, out)
    },

    sumRows(rows, dim, index, group, count, sums) {
      requireDim(dim)
      requireFloats('rows', rows, 0)
      requireIndex(index, count, Math.floor(rows.length / dim))
      requireDoubles('sums', sums, 0)
      requireWords('group', group, count)
      requireRows('group', group, 0, count, Math.floor(sums.length / dim))
      kernels.sumRows(rows, dim, index, group, count, sums)
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

    rotate(rows, dim, padded, first, count, flips, out) {
      requireDim(dim)
      requireRotation(dim, padded, flips)
      requireCount('first', first)
      requireCount('count', count)
      requireFloats('rows', rows, (first + count) * dim)
      requireFloats('out', out, count * padded)
      kernels.rotate(rows, dim, padded, first, count, flips, out)
    },

    squaredLengths(rows, dim, count, out) {
      requireDim(dim)
      requireCount('count', count)
      requireFloats('rows', rows, count * dim)
      requireDoubles('out', out, count)
      kernels.squaredLengths(rows, dim, count, out)
    },

    normalise(rows, dim, count, out) {
      requireDim(dim)
      requireCount('count', count)
      requireFloats('rows', rows, count * dim)
      requireFloats('out', out, count * dim)
      kernels.normalise(rows, dim, count, out)
    },

    encodeRows(from, dim, sources, isUnit, kept, places, padded, flips, rows, codes, factors) {
      requireDim(dim)
      requireRotation(dim, padded, flips)
      requireWords('sources', sources, 0)
      const count = sources.length
      requireFloats('from', from, 0)
      if (typeof isUnit !== 'boolean') throw wrong('isUnit', describe(isUnit), 'true or false')
      requireFloats('kept', kept, 0)
      requireWords('places', places, count)
      requireWords('rows', rows, count)
      requireRows('sources', sources, 0, count, Math.floor(from.length / dim))
      requireRows('places', places, 0, count, Math.floor(kept.length / dim))
      requireRows('rows', rows, 0, count, requireSq8Rows(codes, factors, padded))
      kernels.encodeRows(from, dim, sources, isUnit, kept, places, padded, flips, rows, codes, factors)
    },

    indexSearch(index, ask, query, outRow, outDistance, at, effort) {
      requireSlabs(index)
      requireAsk(index, ask)
      requireFloats('query', query, index.dim)
      requireCount('at', at)
      requireWords('outRow', outRow, at)
      requireFloats('outDistance', outDistance, outRow.length)
      if (outRow.length - at < ask.k)
        throw wrong('outRow', `${outRow.length} values`, `${ask.k} from ${at} on`)
      requireWords('effort', effort, 3)
      return kernels.indexSearch(index, ask, query, outRow, outDistance, at, effort)
    },

    indexSearchMany(index, ask, queries, first, count, stride, outRow, outDistance, outCount) {
      requireSlabs(index)
      requireAsk(index, ask)
      if (ask.trace !== undefined) throw wrong('trace', describe(ask.trace), 'none')
      requireCount('first', first)
      requireCount('count', count)
      requireCount('stride', stride)
      if (stride < ask.k) throw wrong('stride', String(stride), `at least k, ${ask.k}`)
      requireFloats('queries', queries, (first + count) * index.dim)
      requireWords('outRow', outRow, (first + count) * stride)
      requireFloats('outDistance', outDistance, (first + count) * stride)
      requireWords('outCount', outCount, first + count)
      kernels.indexSearchMany(index, ask, queries, first, count, stride, outRow, outDistance, outCount)
    },

    indexAppend(index, rows, buckets, slots, count) {
      requireSlabs(index)
      requireCount('count', count)
      requireWords('rows', rows, count)
      requireWords('buckets', buckets, count)
      requireWords('slots', slots, count)
      requireRows('rows', rows, 0, count, codedRows(index))
      requireRows('buckets', buckets, 0, count, index.bucketCount)
      requireRows('slots', slots, 0, count, 32 * index.next.length)
      kernels.indexAppend(index, rows, buckets, slots, count)
    },

    indexAppendTail(index, reference, rows, slots, count) {
      requireSlabs(index)
      requireCount('count', count)
      requireFloats('reference', reference, index.padded)
      requireWords('rows', rows, count)
      requireWords('slots', slots, count)
      requireRows('rows', rows, 0, count, codedRows(index))
      requireRows('slots', slots, 0, count, 32 * index.next.length)
      kernels.indexAppendTail(index, reference, rows, slots, count)
    },

    indexCopy(index, from, to, count) {
      requireSlabs(index)
      requireCount('count', count)
      requireWords('from', from, count)
      requireWords('to', to, count)
      requireRows('from', from, 0, count, 32 * index.next.length)
      requireRows('to', to, 0, count, 32 * index.next.length)
      kernels.indexCopy(index, from, to, count)
    },

    indexCompact(index, home, second, bucket, from, entries, to, room) {
      requireSlabs(index)
      requireWords('home', home, 0)
      requireWords('second', second, home.length)
      for (const [name, value] of Object.entries({ bucket, from, entries, to, room }))
        requireCount(name, value)
      for (const [name, block] of Object.entries({ from, to })) {
        if (block >= index.next.length)
          throw wrong(name, String(block), `below the ${index.next.length} blocks`)
      }
      if (entries > 32 * index.next.length) {
        throw wrong('entries', String(entries), `at most those of ${index.next.length} blocks`)
      }
      return kernels.indexCompact(index, home, second, bucket, from, entries, to, room)
    },

    indexRouteEntries(index, first, count) {
      requireSlabs(index)
      requireCount('first', first)
      requireCount('count', count)
      if (first + count > index.bucketCount) {
        throw wrong('count', String(count), `at most the ${index.bucketCount} buckets`)
      }
      kernels.indexRouteEntries(index, first, count)
    },

    indexAssign(index, rows, first, count, home, second, near, width = 1, weights) {
      requireSlabs(index)
      if (index.bucketCount === 0) throw wrong('bucketCount', '0', 'at least 1')
      requireCount('first', first)
      requireCount('count', count)
      requireWords('rows', rows, first + count)
      requireRows('rows', rows, first, first + count, codedRows(index))
      requireWords('home', home, first + count)
      if (second !== undefined) requireWords('second', second, first + count)
      requireCount('width', width)
      if (width === 0) throw wrong('width', '0', 'at least 1')
      if (near !== undefined) requireWords('near', near, (first + count) * width)
      if (weights !== undefined) {
        requireFloats('weights', weights, index.bucketCount)
        if (near === undefined) throw wrong('near', 'undefined', 'given with weights')
        if (second !== undefined) throw wrong('second', 'given', 'undefined with weights')
      }
      kernels.indexAssign(index, rows, first, count, home, second, near, width, weights)
    },

    indexNear(index, rows, first, count, width, out) {
      requireSlabs(index)
      if (index.bucketCount === 0) throw wrong('bucketCount', '0', 'at least 1')
      requireCount('first', first)
      requireCount('count', count)
      requireCount('width', width)
      requireWords('rows', rows, first + count)
      requireRows('rows', rows, first, first + count, codedRows(index))
      requireWords('out', out, (first + count) * width)
      kernels.indexNear(index, rows, first, count, width, out)
    },

    indexHalve(index, rows, own, count, first, second, side, centroids, blocks) {
      requireSlabs(index)
      requireCount('count', count)
      requireCount('own', own)
      if (own > count) throw wrong('own', String(own), `at most the ${count} rows`)
      requireWords('rows', rows, count)
      requireRows('rows', rows, 0, count, codedRows(index))
      for (const [name, value] of Object.entries({ first, second })) {
        if (!(value >= 0 && value < 1)) throw wrong(name, String(value), 'a number of [0, 1)')
      }
      requireWords('side', side, count)
      requireFloats('centroids', centroids, 2 * index.padded)
      requireBytes('blocks', blocks, blocksOfHalves(count) * blockBytes(index.padded))
      return kernels.indexHalve(index, rows, own, count, first, second, side, centroids, blocks)
    },

    indexNeighbours(index, first, count, width, out) {
      requireSlabs(index)
      requireCount('first', first)
      requireCount('count', count)
      requireCount('width', width)
      if (first + count > index.bucketCount) {
        throw wrong('count', String(count), `at most the ${index.bucketCount} buckets`)
      }
      requireWords('out', out, count * width)
      kernels.indexNeighbours(index, first, count, width, out)
    },

    hnswInsert(graph, metric, rows, dim, count, codes, factors, codeDim = dim) {
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
      let rowCount = Math.floor(rows.length / dim)
      if (codes !== undefined || factors !== undefined) {
        requireDim(codeDim)
        rowCount = Math.min(rowCount, requireSq8Rows(codes, factors, codeDim))
      }
      requireRows('graph rows', graph, HNSW_ROWS + linked, HNSW_ROWS + linked + count, rowCount)
      return kernels.hnswInsert(graph, metric, rows, dim, count, codes, factors, codeDim)
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
      if ((queryCodes ?? queryFactors ?? codes ?? factors) !== undefined) {
        requireCodes('queryCodes', queryCodes, 0)
        requireDim(queryCodes.length)
        requireFloats('queryFactors', queryFactors, 3)
        requireSq8Rows(codes, factors, queryCodes.length)
      }
      return kernels.hnswSearch(
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
      )
    },

    lutDistances(lut, width, codes, first, count, out) {
      requireDim(width)
      requireFloats('lut', lut, 256 * width)
      requireCount('first', first)
      requireCount('count', count)
      requireBytes('codes', codes, (first + count) * width)
      requireFloats('out', out, count)
      kernels.lutDistances(lut, width, codes, first, count, out)
    },

    fastScan(lut, groups, blocks, stride, blockCount, out) {
      requireDim(groups)
      requireBytes('lut', lut, 16 * groups)
      requireCount('stride', stride)
      if (stride < 16 * groups) throw wrong('stride', String(stride), `at least ${16 * groups} bytes`)
      requireCount('blockCount', blockCount)
      requireBytes('blocks', blocks, blockCount * stride)
      requireView('out', out, 'Uint16Array', 32 * blockCount)
      kernels.fastScan(lut, groups, blocks, stride, blockCount, out)
    },

    affineDistances(metric, offset, step, codes, dim, first, count, out) {
      requireMetric(metric)
      requireDim(dim)
      requireFloats('offset', offset, dim)
      requireFloats('step', step, dim)
      requireCount('first', first)
      requireCount('count', count)
      requireBytes('codes', codes, (first + count) * dim)
      requireFloats('out', out, count)
      kernels.affineDistances(metric, offset, step, codes, dim, first, count, out)
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

    bitsAnd(a, b, words, out) {
      requireCount('words', words)
      requireWords('a', a, words)
      requireWords('b', b, words)
      requireWords('out', out, words)
      return kernels.bitsAnd(a, b, words, out)
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

/** Name by name, not in a loop: this comes before every search. */
function requireAsk(index: IndexSlabs, ask: IndexQuery): void {
  requireObject('ask', ask)
  requireCount('k', ask.k)
  requireCount('probes', ask.probes)
  requireCount('rerank', ask.rerank)
  requireCount('least', ask.least)
  requireCount('part', ask.part)
  requireCount('parts', ask.parts)
  if (ask.parts === 0) throw wrong('parts', '0', 'at least 1')
  requireNumber('floor', ask.floor)
  requireNumber('byRank', ask.byRank)
  requireNumber('byRatio', ask.byRatio)
  requireNumber('bySize', ask.bySize)
  requireNumber('meanLives', ask.meanLives)
  requireNumber('near', ask.near)
  requireNumber('flat', ask.flat)
  requireNumber('flatTimes', ask.flatTimes)
  requireNumber('far', ask.far)
  requireNumber('farTimes', ask.farTimes)
  requireCount('extraCount', ask.extraCount)
  requireWords('extra', ask.extra, ask.extraCount)
  requireCount('tailWords', ask.tailWords)
  requireWords('tails', ask.tails, ask.tailWords)
  requireTails(ask, index.padded)
  if (ask.allow !== undefined) {
    requireObject('allow', ask.allow)
    requireWords('allow.bits', ask.allow.bits, 0)
    requireWords('allow.counts', ask.allow.counts, index.bucketCount)
    requireWords('allow.masks', ask.allow.masks, index.next.length)
  }
  if (ask.trace !== undefined) requireWords('trace', ask.trace, 0)
}

function requireTails({ tails, tailWords }: IndexQuery, padded: number): void {
  let at = 0
  while (at < tailWords) at += 1 + padded + (at + padded < tailWords ? tails[at]! : 0)
  if (at !== tailWords) throw wrong('tails', `${tailWords} words`, 'whole tails')
}

function codedRows({ codes, factors, padded }: IndexSlabs): number {
  return Math.min(codes.length / padded, factors.length / 2)
}
