/** One query over the partitioned index, stage by stage as src/search.c: without tables, prefetches and thresholds. */
import { BLOCK_ENTRIES, blockBytes, type IndexQuery, type IndexSlabs } from '../index-slabs.js'
import { distancesGather } from './distance.js'
import { rotate } from './rotate.js'
import { type PreparedQuery, prepareRotated, type Routed, route } from './route.js'
import { rowsOfBlock, scanSigns } from './signs.js'
import { sq8DistancesGather } from './sq8.js'

const BOUND = 0.5
const FIRST_BUCKETS = 48
const FAR_RANK = 512

interface Found {
  readonly row: number
  readonly distance: number
}

export function indexSearch(
  index: IndexSlabs,
  ask: IndexQuery,
  query: Float32Array,
  outRow: Uint32Array,
  outDistance: Float32Array,
  at: number,
  effort: Uint32Array,
): number {
  const rotated = new Float32Array(index.padded)
  rotate(query, index.dim, index.padded, 0, 1, index.flips, rotated)
  const prepared = prepareRotated(rotated)
  const best = new Best(index, ask, prepared)
  for (const row of ask.extra.subarray(0, ask.extraCount)) best.score(row)
  effort.fill(0, 0, 2)
  const bounds = new Float32Array(BLOCK_ENTRIES)
  probeList(index, ask, prepared).forEach(({ bucket, distance }, place) => {
    if (place % ask.parts !== ask.part % ask.parts) return
    effort[0]!++
    effort[1]! += index.sizes[bucket]!
    const { base, squared } = centroidTerms(index, prepared, bucket, distance)
    const slack = squared > 0 ? BOUND * Math.sqrt(squared) : 0
    for (let block = index.heads[bucket]!; block < index.next.length; block = index.next[block]!) {
      scanSigns(rotated, index.blocks, block * blockBytes(index.padded), base, slack, bounds)
      const rows = rowsOfBlock(index.blocks, block, index.padded)
      for (let slot = 0; slot < BLOCK_ENTRIES; slot++) if (bounds[slot]! < best.limit) best.score(rows[slot]!)
    }
  })
  effort[2] = best.met.size
  const found = exact(index, query, best.list).slice(0, ask.k)
  found.forEach(({ row, distance }, i) => {
    outRow[at + i] = row
    outDistance[at + i] = distance
  })
  return found.length
}

function probeList(index: IndexSlabs, ask: IndexQuery, query: PreparedQuery): Routed[] {
  const { bucketCount, routing } = index
  if (bucketCount === 0 || (ask.probes === 0 && ask.share === 0)) return []
  for (let wanted = ask.probes || FIRST_BUCKETS; ; wanted *= 2) {
    const byShare = ask.probes === 0 && routing === 'l2'
    const routed = byShare ? Math.floor(1.5 * wanted) : 2 * wanted + 16
    const list = route(index, routing, query, routed).slice(0, wanted)
    if (!byShare) return list
    const count = bucketsForShare(ask.share, list, bucketCount)
    if (count > 0) return list.slice(0, count)
  }
}

/** 0: these buckets are too few to tell. */
function bucketsForShare(share: number, list: readonly Routed[], all: number): number {
  const nearest = list[0]!.distance
  if (!(nearest > 0)) return list.length
  const closeness = list.map(({ distance }) => (nearest / distance) ** 3.5)
  const hits = closeness.map((close, rank) => (1 + rank) ** -1.1 * close)
  let total = hits.reduce((sum, hit) => sum + hit, 0)
  for (let rank = list.length; rank < Math.min(all, FAR_RANK); rank++)
    total += (1 + rank) ** -1.1 * closeness.at(-1)!
  let sum = 0
  for (let j = 0; j < hits.length; j++) {
    sum += hits[j]!
    if (sum >= share * total) return j + 1
  }
  return list.length < all ? 0 : list.length
}

/** The distance of the centroid in the metric of the rows, and squared. */
function centroidTerms(
  { metric, routing, centroidFactors }: IndexSlabs,
  query: PreparedQuery,
  bucket: number,
  distance: number,
): { base: number; squared: number } {
  if (metric === 'l2' && routing === 'l2') return { base: distance, squared: distance }
  const norms = query.factors[1]! + centroidFactors[2 * bucket + 1]!
  return routing === 'l2'
    ? { base: (distance - norms) / 2, squared: distance }
    : { base: distance, squared: norms + 2 * distance }
}

/** The k + rerank nearest by SQ8 of the rows that were met. */
class Best {
  readonly met: Set<number> = new Set()
  readonly list: Found[] = []
  limit: number = Number.POSITIVE_INFINITY
  readonly #index: IndexSlabs
  readonly #ask: IndexQuery
  readonly #query: PreparedQuery

  constructor(index: IndexSlabs, ask: IndexQuery, query: PreparedQuery) {
    this.#index = index
    this.#ask = ask
    this.#query = query
  }

  score(row: number): void {
    const { metric, codes, factors, padded, live, rowLimit } = this.#index
    const { allow, k, rerank } = this.#ask
    if (row >= rowLimit || !has(live, row) || (allow !== undefined && !has(allow, row)) || this.met.has(row))
      return
    this.met.add(row)
    const out = new Float32Array(1)
    const { codes: query, factors: queryFactors } = this.#query
    sq8DistancesGather(metric, query, queryFactors, codes, factors, padded, Uint32Array.of(row), 1, out)
    const distance = out[0]!
    if (!(distance < this.limit)) return
    let at = this.list.length
    while (at > 0 && distance < this.list[at - 1]!.distance) at--
    this.list.splice(at, 0, { row, distance })
    if (this.list.length > k + rerank) this.list.pop()
    if (this.list.length === k + rerank) this.limit = this.list.at(-1)!.distance
  }
}

function exact(index: IndexSlabs, query: Float32Array, list: readonly Found[]): Found[] {
  const { metric, vectors, dim } = index
  const rows = Uint32Array.from(list, ({ row }) => row)
  const distances = Float32Array.from(list, ({ distance }) => distance)
  if (vectors !== undefined) distancesGather(metric, query, vectors, dim, rows, rows.length, distances)
  return Array.from(rows, (row, i) => ({ row, distance: distances[i]! })).sort(
    (a, b) => a.distance - b.distance || a.row - b.row,
  )
}

function has(bits: Uint32Array, row: number): boolean {
  return row >>> 5 < bits.length && ((bits[row >>> 5]! >>> (row & 31)) & 1) === 1
}
