// Drift's index as a user runs it: upsert and delete, a memtable that is flushed when it is full, background work in proportion to
// what was written. "unhealed" is the same without the background work.
import { type Id, NONE, type SearchOptions, seededRandom, VectorIndex } from '@drift/core'
import { BLOCK_ENTRIES, blockBytes, type KernelMetric, paddedDim } from '@drift/native'
import type { Truth } from '../../data/truth.js'
import { Curve } from '../curve.js'
import type { Step } from '../runbook.js'
import { type Found, NO_WORK, type SimEngine, type Work } from './sim-engine.js'

export interface DriftOptions {
  readonly dim: number
  readonly metric: KernelMetric
  readonly seed: number
  readonly memtableRows: number
  readonly bucketRows?: number
  /** false: nothing is done in the background. */
  readonly heal: boolean
  /** What shadow queries find moves the floors. Default true. */
  readonly learns?: boolean
}

/** Moves of background work that a written row pays for. */
const MOVES_PER_ROW = 1

export class DriftEngine implements SimEngine {
  readonly name: string
  readonly index: VectorIndex
  readonly #options: DriftOptions
  readonly #alive = new Set<number>()
  readonly #entryBytes: number
  #work: Work = NO_WORK

  constructor(name: string, options: DriftOptions, index: VectorIndex = new VectorIndex(shapeOf(options))) {
    this.name = name
    this.index = index
    this.#options = options
    this.#entryBytes = blockBytes(paddedDim(options.dim)) / BLOCK_ENTRIES
  }

  get work(): Work {
    return this.#work
  }

  get buckets(): number {
    return this.index.stats().buckets
  }

  async write(step: Exclude<Step, { do: 'search' }>): Promise<void> {
    for (const id of step.ids) {
      if (step.do === 'delete') this.#alive.delete(id)
      else this.#alive.add(id)
    }
    const started = performance.now()
    if (step.do === 'delete') this.index.delete(Array.from(step.ids))
    else await this.#upsert(step.ids, step.vectors)
    await this.settle()
    this.#work = { ...this.#work, writeMs: this.#work.writeMs + performance.now() - started }
    if (this.#options.heal) await this.#maintain(step.ids.length * MOVES_PER_ROW)
  }

  /** Flush what is in memtables: partitions are compared, and a graph before them would blur that. */
  async settle(): Promise<void> {
    this.index.rotate()
    for (const memtable of [...this.index.frozen]) await this.index.flush(memtable)
  }

  search(query: Float32Array, k: number, target: number): Found {
    return this.#found(this.index.searchSync(query, { k, recall: target }))
  }

  /** What the engine itself pays: by its own stop rule, over how hard it tries, or by probes. */
  curve(knob: 'own' | 'probes', queries: Float32Array, exact: Truth): Curve {
    const buckets = Math.max(1, this.buckets)
    const knobs = knob === 'own' ? EFFORTS : PROBES
    const curve = new Curve(knobs)
    const count = queries.length / this.index.dim
    for (let q = 0; q < count; q++) {
      const query = queries.subarray(q * this.index.dim, (q + 1) * this.index.dim)
      for (const [i, value] of knobs.entries()) {
        const { k } = exact
        const options = knob === 'own' ? ownRule(k, value) : { k, probes: Math.min(value, buckets) }
        const found = this.#found(this.index.searchSync(query, options))
        curve.add(i, hits(exact, q, found), exact.k, found.rows, found.buckets)
      }
    }
    return curve
  }

  /** Every query that asked for a recall is its own shadow: a run has a thousandth of a real collection's queries. */
  async rest(): Promise<void> {
    while (this.index.shadowsWaiting > 0) await this.index.shadow()
  }

  shadow(k: number, target: number): number | undefined {
    return this.index.measuredRecall.find(known => known.k === k && known.target === target)?.measured
  }

  /** Of the rows' squared distances to the centroids of their homes, the share that centroids in the means would save. */
  offCentre(): number {
    const { dim } = this.index
    const centroids = this.index.centroids()
    const sums = new Float64Array(centroids.length)
    const counts = new Uint32Array(centroids.length / dim)
    let all = 0
    for (const id of this.#alive) {
      const row = this.index.find(id)
      const [home] = this.index.bucketsOf(row)
      counts[home]!++
      this.index.vectorAt(row).forEach((value, j) => {
        const gap = value - centroids[home * dim + j]!
        sums[home * dim + j]! += gap
        all += gap * gap
      })
    }
    // n ||mean - centroid||^2, of every bucket.
    const saved = sums.reduce((total, sum, at) => {
      const count = counts[Math.floor(at / dim)]!
      return count === 0 ? total : total + (sum * sum) / count
    }, 0)
    return all > 0 ? saved / all : 0
  }

  /** Of the entries in buckets, the share that counts for nothing. */
  deadShare(): number {
    let living = 0
    for (const id of this.#alive) {
      for (const bucket of this.index.bucketsOf(this.index.find(id))) if (bucket !== NONE) living++
    }
    const stored = this.index.bucketStats().reduce((sum, bucket) => sum + bucket.stored, 0)
    return stored > 0 ? 1 - living / stored : 0
  }

  async close(): Promise<void> {
    this.index.close()
  }

  #found({ ids, distances, scannedRows, scannedBuckets }: ReturnType<VectorIndex['searchSync']>): Found {
    // Under cosine the index tells 1 - similarity, the runbook's inner product is minus the similarity.
    const own = this.index.metric === 'cosine' ? distances.map(d => d - 1) : distances
    return { ids: ids as number[], distances: own, rows: scannedRows, buckets: scannedBuckets }
  }

  async #upsert(ids: Uint32Array, vectors: Float32Array): Promise<void> {
    const { dim } = this.index
    const { memtableRows } = this.#options
    for (let first = 0; first < ids.length; first += memtableRows) {
      const part = Array.from<number, Id>(ids.subarray(first, first + memtableRows), Number)
      this.index.upsert(part, vectors.slice(first * dim, (first + part.length) * dim))
      if (this.index.activeMemtable.count >= memtableRows) await this.settle()
    }
  }

  /** Moves are counted from outside, by where rows are before and after, so that they mean the same whatever the engine does. */
  async #maintain(budget: number): Promise<void> {
    const before = this.#places()
    const started = performance.now()
    await heal(this.index, budget)
    const elapsed = performance.now() - started
    let { moves, secondMoves, bytes } = this.#work
    const after = this.#places()
    for (const [id, [home, second]] of before) {
      const [newHome, newSecond] = after.get(id)!
      if (home === NONE) continue
      if (home !== newHome) moves++
      else if (second !== newSecond) secondMoves++
      const entries = (home === newHome ? 0 : 1) + (second === newSecond || newSecond === NONE ? 0 : 1)
      bytes += entries * this.#entryBytes
    }
    this.#work = {
      ...this.#work,
      moves,
      secondMoves,
      bytes,
      maintenanceMs: this.#work.maintenanceMs + elapsed,
    }
  }

  #places(): Map<number, readonly [number, number]> {
    const places = new Map<number, readonly [number, number]>()
    for (const id of this.#alive) places.set(id, this.index.bucketsOf(this.index.find(id)))
    return places
  }
}

/** A fresh partition may have so many buckets more or fewer; 10 % more of them read some 8 % fewer rows at the same recall. */
const SAME_BUCKETS = 0.01
const TRIES = 3

/**
 * A partition made of all live rows at once, with as many buckets: what healing is measured against. Building parts what comes out too
 * large, so it makes up to a tenth more buckets than it is asked for, and is asked again for fewer.
 */
export async function rebuilt(
  options: DriftOptions,
  ids: Uint32Array,
  vectors: Float32Array,
  buckets: number,
): Promise<DriftEngine> {
  const off = (made: DriftEngine) => Math.abs(Math.log(made.buckets / Math.max(1, buckets)))
  const tried = new Set<number>()
  let best: DriftEngine | undefined
  for (let wanted = ids.length / Math.max(1, buckets); tried.size < TRIES; ) {
    const bucketRows = Math.min(4096, Math.max(4, Math.round(wanted)))
    if (tried.has(bucketRows)) break
    tried.add(bucketRows)
    const shape = { ...options, bucketRows }
    const index = await VectorIndex.build(shapeOf(shape), vectors.slice(), { ids: Array.from(ids) })
    const made = new DriftEngine('rebuild', { ...shape, heal: false }, index)
    wanted = (bucketRows * made.buckets) / Math.max(1, buckets)
    const last: DriftEngine | undefined = best
    best = last === undefined || off(made) < off(last) ? made : last
    await (best === made ? last : made)?.close()
    if (off(best) <= SAME_BUCKETS) break
  }
  return best!
}

/** How hard the engine's own rule tries: one over the floor, hits per row of its cost. */
const EFFORTS = Array.from({ length: 28 }, (_, i) => 60 * 1.5 ** i)
const PROBES = [...new Set(Array.from({ length: 32 }, (_, i) => Math.round(1.26 ** i)))]

function ownRule(k: number, effort: number): SearchOptions {
  return { k, floor: 1 / effort }
}

/** The background work of a tick, while a collection grows and while it lives. @param budget - moves that the writes have paid for. */
async function heal(index: VectorIndex, budget: number): Promise<void> {
  while (await index.refine());
  await index.maintain({ budget })
}

/** The index's own options. */
export function shapeOf({
  dim,
  metric,
  seed,
  memtableRows,
  bucketRows,
  learns = true,
}: DriftOptions): ConstructorParameters<typeof VectorIndex>[0] {
  return {
    dim,
    metric: metric === 'ip' ? ('cosine' as const) : ('l2' as const),
    seed,
    memtableRows,
    ...(bucketRows === undefined ? {} : { bucketRows }),
    shadow: { share: 1, random: seededRandom(seed), learn: learns },
  }
}

/** A row as near as the k-th true one counts: which of equally near rows is named is the engine's affair. */
export function hits(exact: Truth, query: number, { ids, distances }: Found): number {
  const from = query * exact.k
  const wanted = new Set(exact.rows.subarray(from, from + exact.k))
  const kth = exact.distances[from + exact.k - 1]!
  const limit = kth + TIE * Math.max(Math.abs(kth), 1e-3)
  let count = 0
  for (let i = 0; i < ids.length && i < exact.k; i++) {
    if (wanted.has(ids[i]!) || (distances !== undefined && distances[i]! <= limit)) count++
  }
  return count
}

/** Rounding differs between ways to add up the same distance; this share of it is a tie. */
const TIE = 2e-6
