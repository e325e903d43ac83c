/**
 * A prior of the index's own: some of its rows are asked for as if they were queries, and their exact neighbours tell which floor finds
 * how many. One floor for all data is off by a factor of three either way; this one is within a point or two of recall (docs/adr/0011).
 * Rule: a row is no query: it is left out of its neighbours and of the centroid of its bucket. Not under ip, where queries are unlike rows.
 */
import { kernels } from '@drift/native'
import type { IndexState } from '../index-state.js'
import { Slices } from '../maintenance/slices.js'
import { seededRandom } from '../random.js'
import { liveRowsOf } from '../row-store.js'
import { Scratch } from '../search/scratch.js'
import { attach } from '../search/snapshot.js'
import type { SearchView, Weights } from '../search/view.js'
import { floorsAt, MEETING_FACTS, meetingsOf } from './meeting.js'

/** Multiply-adds of one calibration: about 0.25 s, two or three per cent of building as many rows. */
const WORK = 4e9
const MOST_ASKED = 384
const LEAST_ASKED = 32
/** Neighbours that are known of each; a larger k follows them as the prior of all data does. */
const NEIGHBOURS = 100
/** A smaller k is told by so many too: one neighbour of each row says little. */
const LEAST_NEIGHBOURS = 4
/** Below so many rows a search looks at every row's codes. */
const FEW_ROWS = 2000
/** Bytes of rows that stay in a core's cache while all queries are compared with them. */
const TILE_BYTES = 192 * 1024

export class OwnFloors {
  readonly meetings: readonly Float32Array[]

  /** @param meetings - of each row asked for: of its neighbours, nearest first. */
  constructor(meetings: readonly Float32Array[]) {
    this.meetings = meetings
  }

  /** @param priorOf - of all data, by recall and k: for what the samples cannot tell. */
  floorOf(
    recall: number,
    k: number,
    weights: Weights,
    priorOf: (recall: number, k: number) => number,
  ): number {
    const rows = Math.min(NEIGHBOURS, Math.max(LEAST_NEIGHBOURS, k))
    const logs = joined(
      this.meetings.map(of => floorsAt(of, weights, Math.min(rows, of.length / MEETING_FACTS))),
    ).sort()
    const told = 1 - LEAST_MISSES / logs.length
    const asked = Math.min(recall / (1 - LOSS), told)
    const own = Math.exp(logs[Math.floor((1 - asked) * logs.length)]!)
    const prior = priorOf(recall, k)
    const scaled = (own * prior) / priorOf(Math.min(recall, told), rows)
    // A higher floor has to be earned, a lower one is taken at its word.
    const count = this.meetings.length
    const pulled = scaled > prior ? prior * (scaled / prior) ** (count / (count + PULL)) : scaled
    return Math.min(prior * MOST, Math.max(prior * LEAST, pulled))
  }
}

/** A quantile with fewer misses below it is not told by the samples. */
const LEAST_MISSES = 4
/** Of the rows that scanned buckets hold, the share that the 1-bit scan leaves out. */
const LOSS = 0.003
/** The prior of all data counts as so many samples against a floor above it. */
const PULL = 16
/** Own floors lie within these times the prior of all data. */
const MOST = 8
const LEAST = 1 / 64

/** @returns undefined for an index that this says nothing about. Throws what `check` throws. */
export async function calibrate(state: IndexState, check: () => void): Promise<OwnFloors | undefined> {
  if (state.shape.metric === 'ip' || state.directory.rowsAtHome < FEW_ROWS) return undefined
  const { snapshot, release } = state.pin()
  try {
    const view = attach(snapshot)
    const { dim, vectors, live, rowLimit } = view.slabs
    const rows = new Uint32Array(view.liveRows)
    const count = liveRowsOf(live, rowLimit, rows)
    const most = Math.min(MOST_ASKED, Math.max(LEAST_ASKED, Math.floor(WORK / (count * dim))))
    const asked = chosen(rows.subarray(0, count), most, seededRandom(state.shape.seed ^ state.store.version))
    const slices = new Slices(check)
    const found = await nearestOfMany(view, rows.subarray(0, count), asked, NEIGHBOURS + 1, slices)
    const scratch = new Scratch(dim)
    const meetings: Float32Array[] = []
    for (const [i, row] of asked.entries()) {
      const others = found[i]!.filter(other => other !== row).subarray(0, NEIGHBOURS)
      const query = vectors!.slice(row * dim, (row + 1) * dim)
      meetings.push(meetingsOf(state, view, query, others, scratch, row))
      await slices.spend(view.slabs.bucketCount * (dim + others.length))
    }
    return new OwnFloors(meetings)
  } finally {
    release()
  }
}

/** Some of the rows, each once, in order. */
function chosen(rows: Uint32Array, most: number, random: () => number): Uint32Array {
  const picked = new Set<number>()
  while (picked.size < Math.min(most, rows.length)) picked.add(rows[Math.floor(random() * rows.length)]!)
  return Uint32Array.from(picked).sort()
}

/** The k nearest rows of each row asked for, itself included, exactly: a tile of rows is compared with all of them while it is in the cache. */
async function nearestOfMany(
  { slabs }: SearchView,
  rows: Uint32Array,
  asked: Uint32Array,
  k: number,
  slices: Slices,
): Promise<Uint32Array[]> {
  const { metric, vectors, dim } = slabs
  const tile = Math.max(16, Math.floor(TILE_BYTES / (4 * dim)))
  const distances = new Float32Array(tile)
  const best = Array.from(asked, row => new Best(k, vectors!.slice(row * dim, (row + 1) * dim)))
  for (let first = 0; first < rows.length; first += tile) {
    const some = rows.subarray(first, first + tile)
    for (const one of best) {
      kernels.distancesGather(metric, one.query, vectors!, dim, some, some.length, distances)
      one.take(some, distances)
      await slices.spend(some.length * dim)
    }
  }
  return best.map(one => one.rows())
}

/** The nearest rows so far, and some more: thinned when the room is full. */
class Best {
  readonly query: Float32Array
  readonly #k: number
  #rows: Uint32Array
  #distances: Float32Array
  #count = 0
  #limit = Number.POSITIVE_INFINITY

  constructor(k: number, query: Float32Array) {
    this.query = query
    this.#k = k
    this.#rows = new Uint32Array(4 * k)
    this.#distances = new Float32Array(4 * k)
  }

  take(rows: Uint32Array, distances: Float32Array): void {
    for (let i = 0; i < rows.length; i++) {
      if (!(distances[i]! < this.#limit)) continue
      this.#rows[this.#count] = rows[i]!
      this.#distances[this.#count++] = distances[i]!
      if (this.#count === this.#rows.length) this.#thin()
    }
  }

  rows(): Uint32Array {
    this.#thin()
    return this.#rows.slice(0, this.#count)
  }

  #thin(): void {
    const positions = new Uint32Array(this.#k)
    const nearest = new Float32Array(this.#k)
    const found = kernels.topK(this.#distances, this.#count, this.#k, positions, nearest)
    const rows = positions.subarray(0, found).map(at => this.#rows[at]!)
    this.#rows.set(rows)
    this.#distances.set(nearest.subarray(0, found))
    this.#count = found
    if (found === this.#k) this.#limit = nearest[found - 1]!
  }
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((count, { length }) => count + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
