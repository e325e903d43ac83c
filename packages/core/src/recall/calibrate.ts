/**
 * A prior of the index's own: some of its rows are asked for as if they were queries, and their exact neighbours tell which floor finds
 * how many. One floor for all data is off by a factor of three either way; this one is within a point or two of recall (docs/adr/0011).
 * Where vectors are not resident, codes stand for them: what is learned is where neighbours lie, not how far.
 * Few rows leave the mean uncertain, and comparing one with a million takes 30 ms: rows beyond what WORK pays for are asked of the index
 * itself, by a floor that misses next to nothing of what those before them tell.
 * Rule: a row is no query: it is left out of its neighbours and of the centroid of its bucket. Not under ip, where queries are unlike rows.
 */
import { kernels } from '@drift/native'
import type { IndexState } from '../index-state.js'
import { Slices } from '../maintenance/slices.js'
import { seededRandom } from '../random.js'
import { liveRowsOf } from '../row-store.js'
import { type Measure, measureOf } from '../search/measure.js'
import { Scratch } from '../search/scratch.js'
import { searchView } from '../search/search.js'
import { attach } from '../search/snapshot.js'
import type { SearchView, SearchWidth, Weights } from '../search/view.js'
import { floorsAt, MEETING_FACTS, meetingsOf } from './meeting.js'

/** Multiply-adds of one calibration: about 0.25 s, two or three per cent of building as many rows. */
const WORK = 4e9
/** Rows that are compared with all others, at least. */
const LEAST_COMPARED = 32
/** Neighbours that are known of each; a larger k follows them as the prior of all data does. */
const NEIGHBOURS = 100
const ASKED = 384
/** Rows asked for few neighbours besides, which is a tenth of the work: what tells the small k that is mostly asked for. */
const ASKED_FEW = 768
const FEW_NEIGHBOURS = 10
/** Share of the neighbours found by comparing that a deep search may miss, before its floor is halved. */
const DEEP_MISSES = 1e-3
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
    const prior = priorOf(recall, k)
    const rows = Math.min(NEIGHBOURS, Math.max(LEAST_NEIGHBOURS, k))
    const samples = samplesOf(this.meetings, weights, rows)
    const count = samples.length
    if (count === 0) return prior
    const logs = joined(samples).sort()
    const told = 1 - LEAST_MISSES / logs.length
    const logAt = (share: number) => logs[Math.floor((1 - Math.min(share, told)) * logs.length)]!
    const asked = recall / (1 - LOSS)
    const error = errorAt(samples, logAt(asked))
    const own = Math.exp(logAt(asked + CAUTION * error))
    const scaled = (own * prior) / priorOf(Math.min(recall, told), rows)
    // A higher floor has to be earned, a lower one is taken at its word.
    const pulled = scaled > prior ? prior * (scaled / prior) ** (count / (count + PULL)) : scaled
    return Math.min(prior * MOST, Math.max(prior * LEAST, pulled))
  }
}

/** A quantile with fewer misses below it is not told by the samples. */
const LEAST_MISSES = 4
/** Added to what is asked for, in standard errors of the mean over samples: samples tell it to that much, and falling short is worse than reading more. */
const CAUTION = 0.5
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
    const { dim, live, rowLimit } = view.slabs
    const vectorOf = (row: number): Float32Array =>
      state.store.vectors?.slice(row * dim, (row + 1) * dim) ?? state.store.decodedAt(row)
    const rows = new Uint32Array(view.liveRows)
    const count = liveRowsOf(live, rowLimit, rows)
    const work = Math.max(LEAST_COMPARED, Math.floor(WORK / (count * dim)))
    const asked = chosen(
      rows.subarray(0, count),
      ASKED + ASKED_FEW,
      seededRandom(state.shape.seed ^ state.store.version),
    )
    const slices = new Slices(check)
    const scratch = new Scratch(dim)
    const meetings: Float32Array[] = []
    const note = async (row: number, found: Uint32Array, most: number) => {
      const others = found.filter(other => other !== row).subarray(0, most)
      meetings.push(meetingsOf(state, view, vectorOf(row), others, scratch, row))
      await slices.spend(view.slabs.bucketCount * (dim + others.length))
    }
    const compared = asked.subarray(0, Math.min(ASKED, work))
    const found = await nearestOfMany(
      view,
      rows.subarray(0, count),
      compared,
      vectorOf,
      NEIGHBOURS + 1,
      slices,
    )
    for (const [i, row] of compared.entries()) await note(row, found[i]!, NEIGHBOURS)
    const deep = deepWidth(meetings, state, NEIGHBOURS)
    const shallow = deepWidth(meetings, state, FEW_NEIGHBOURS)
    for (let i = compared.length; i < asked.length; i++) {
      const width = i < ASKED ? deep : shallow
      scratch.query.set(vectorOf(asked[i]!))
      const { outRows, outDistances } = scratch.reserveResult(width.k)
      const near = searchView(view, width, scratch, outRows, outDistances)
      await slices.spend(scratch.scannedRows * dim)
      await note(asked[i]!, outRows.slice(0, near), width.k - 1)
    }
    return new OwnFloors(meetings)
  } finally {
    release()
  }
}

/** A search for the neighbours and the row itself that misses next to none of those that were met. */
function deepWidth(meetings: readonly Float32Array[], state: IndexState, neighbours: number): SearchWidth {
  const weights = state.recall.weightsOf(neighbours)
  const logs = joined(samplesOf(meetings, weights, neighbours)).sort()
  const floor = Math.exp(logs[Math.floor(DEEP_MISSES * logs.length)]!) / 2
  return {
    k: neighbours + 1,
    owed: neighbours + 1,
    probes: undefined,
    floor: Number.isFinite(floor) ? floor : Number.MIN_VALUE,
    weights,
    paper: undefined,
    ef: undefined,
    allow: undefined,
  }
}

/** Of each that knows so many, the logarithms of the floors at which its nearest `rows` neighbours are just met. */
function samplesOf(meetings: readonly Float32Array[], weights: Weights, rows: number): Float32Array[] {
  return meetings.filter(of => of.length >= rows * MEETING_FACTS).map(of => floorsAt(of, weights, rows))
}

/** Of the share of neighbours that is met at a floor, the standard error of its mean over the samples. */
function errorAt(samples: readonly Float32Array[], log: number): number {
  const met = samples.map(of => of.reduce((count, floor) => count + (floor >= log ? 1 : 0), 0) / of.length)
  const mean = met.reduce((sum, share) => sum + share, 0) / met.length
  return Math.sqrt(met.reduce((sum, share) => sum + (share - mean) ** 2, 0)) / met.length
}

/** Some of the rows, each once, in random order. */
function chosen(rows: Uint32Array, most: number, random: () => number): Uint32Array {
  const picked = new Set<number>()
  while (picked.size < Math.min(most, rows.length)) picked.add(rows[Math.floor(random() * rows.length)]!)
  return Uint32Array.from(picked)
}

/** The k nearest rows of each row asked for, itself included, exactly: a tile of rows is compared with all of them while it is in the cache. */
async function nearestOfMany(
  { slabs }: SearchView,
  rows: Uint32Array,
  asked: Uint32Array,
  vectorOf: (row: number) => Float32Array,
  k: number,
  slices: Slices,
): Promise<Uint32Array[]> {
  const { dim } = slabs
  const tile = Math.max(16, Math.floor(TILE_BYTES / (4 * dim)))
  const distances = new Float32Array(tile)
  const best = Array.from(asked, row => new Best(k, measureOf(slabs, vectorOf(row))))
  for (let first = 0; first < rows.length; first += tile) {
    const some = rows.subarray(first, first + tile)
    for (const one of best) {
      one.measure(some, some.length, distances)
      one.take(some, distances)
      await slices.spend(some.length * dim)
    }
  }
  return best.map(one => one.rows())
}

/** The nearest rows so far, and some more: thinned when the room is full. */
class Best {
  readonly measure: Measure
  readonly #k: number
  #rows: Uint32Array
  #distances: Float32Array
  #count = 0
  #limit = Number.POSITIVE_INFINITY

  constructor(k: number, measure: Measure) {
    this.measure = measure
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
