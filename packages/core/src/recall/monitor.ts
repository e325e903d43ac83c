/**
 * Shadow recall: a sampled share of real queries is answered again, as the engine answers now and exactly, on one pinned view.
 * Rule: both answers see the same moment, so writes between a query and its shadow cannot make a difference: what is measured is what
 * the engine finds now for what was asked lately. The exact answer is computed by the pool, or here in slices of about a millisecond.
 */
import { requireWidth } from '../arguments.js'
import type { IndexState } from '../index-state.js'
import type { IndexPool } from '../pool/pool.js'
import { widened } from '../search/elsewhere.js'
import type { Scratch } from '../search/scratch.js'
import { searchView } from '../search/search.js'
import { attach } from '../search/snapshot.js'
import { exactAnswer } from './exact.js'
import { FloorLearner, LEAST_SAMPLES } from './floor-learner.js'
import type { ShadowLearned, Tally } from './learned.js'
import { asIfOrdinary, bucketDistances, logFloorsOf, meetingsOf } from './meeting.js'
import { wilson } from './wilson.js'

/** What was measured of queries with this k and target; the interval holds the true recall in 95 of 100 cases. */
export interface MeasuredRecall {
  readonly k: number
  readonly target: number
  readonly measured: number
  readonly low95: number
  readonly high95: number
  /** Shadow queries, older ones counted for less; those that were measured again count once. */
  readonly samples: number
}

export interface ShadowOptions {
  /** Share of the queries that are sampled, 0..1. */
  readonly share: number
  /** In [0, 1). */
  readonly random: () => number
  /** Whether what is measured moves the floors; without it recall is only told. Default true. */
  readonly learn?: boolean
}

/** Sampled queries that are kept, the latest: those not measured yet, and those that are measured again when idle. */
const KEPT = 256
/** Samples after which a measurement counts for half: a dip that floors have answered is forgotten after some hundred. */
const HALF_LIFE = 100
/** Samples of a k and target below which there is nothing to tell. */
const LEAST_TOLD = 0.5
/** Share that is still true of what was measured, below which floors that it taught are of other data. */
const OTHER_DATA = 0.25

interface Sampled {
  readonly query: Float32Array
  readonly k: number
  readonly target: number
}

export class RecallMonitor {
  readonly #share: number
  readonly #random: () => number
  readonly #learner: FloorLearner | undefined
  readonly #state: IndexState
  #waiting: Sampled[] = []
  readonly #recent: Sampled[] = []
  readonly #tallies: Map<string, Tally> = new Map()
  /** `version` of the rows that the tallies are of. */
  #version: number

  constructor(state: IndexState, { share, random, learn = true }: ShadowOptions) {
    this.#state = state
    this.#share = share
    this.#random = random
    this.#learner = learn ? new FloorLearner() : undefined
    state.recall.learned = this.#learner
    this.#version = state.store.version
  }

  /** Queries were answered; they are prepared, one after the other, and copied when they are sampled. */
  offer(queries: Float32Array, k: number, target: number): void {
    const { dim } = this.#state.shape
    for (let at = 0; at < queries.length; at += dim) {
      if (this.#random() >= this.#share) continue
      this.#waiting.push({ query: queries.slice(at, at + dim), k, target })
      if (this.#waiting.length > KEPT) this.#waiting.shift()
    }
  }

  /** Queries sampled and not measured yet. */
  get waiting(): number {
    return this.#waiting.length
  }

  /**
   * Measure one query: the oldest that waits, or, when none does, a recent one again.
   *
   * @param check - throws when the result is no longer wanted.
   * @returns false when no query was ever sampled, or there is nothing to find.
   */
  async measure(scratch: Scratch, pool: IndexPool | undefined, check: () => void): Promise<boolean> {
    const first = this.#waiting.shift()
    const sampled = first ?? this.#recent[Math.floor(this.#random() * this.#recent.length)]
    if (sampled === undefined) return false
    if (first !== undefined) this.#recent.push(first)
    if (this.#recent.length > KEPT) this.#recent.shift()
    const state = this.#state
    this.#forget()
    const { k, target, query } = sampled
    const floor = state.recall.floorOf(target, k)
    const width = requireWidth({ k, recall: target }, state)
    const { weights, flat, far } = width
    const { snapshot, release } = state.pin()
    try {
      const view = attach(snapshot)
      const room = Math.min(k, view.liveRows)
      if (room === 0) return false
      const wide = widened(state, width)
      const found = new Uint32Array(wide.k)
      const distances = new Float32Array(wide.k)
      scratch.query.set(query)
      let count = searchView(view, wide, scratch, found, distances, 0)
      if (state.exact !== undefined) count = state.exact.rerank(query, room, found, distances, 0, count)
      const truth = await exactAnswer(state, snapshot, pool, query, { ...width, owed: room }, check)
      check()
      // By distance: which of the rows that are equally far are the k nearest is nobody's to say.
      const farthest = truth.distances[room - 1]!
      let hits = 0
      while (hits < count && hits < room && distances[hits]! <= farthest) hits++
      const isAgain = first === undefined
      this.#count(sampled, hits / room, isAgain)
      // A floor for rows that are gone, made to serve those that are left, soon gives way to one of their own: nothing is learned by it.
      if (state.recall.shrunk > 1) return true
      // A few queries, asked again and again, do not speak for the others.
      if (isAgain && this.#recent.filter(recent => recent.k === k).length < LEAST_SAMPLES) return true
      const hit = new Set(found.subarray(0, hits))
      const missed = truth.rows.subarray(0, room).filter(row => !hit.has(row))
      const nearest = Uint32Array.from([...hit, ...missed]).subarray(0, room)
      const meetings = meetingsOf(view, state.store, query, bucketDistances(view, query), nearest)
      const unit = state.recall.unitOf(k)
      const logs = asIfOrdinary(logFloorsOf(meetings, weights), meetings, flat, far)
      // Rows in no bucket are met at any floor, and teach nothing of the one that they take once they are in buckets.
      const ofBuckets = logs.filter(isOfBucket).map(log => log - Math.log(unit))
      const inBuckets = logs.subarray(0, hit.size).filter(isOfBucket).length
      if (2 * ofBuckets.length > room) this.#learner?.learn(k, ofBuckets, target, floor / unit, inBuckets)
      return true
    } finally {
      release()
    }
  }

  /** Per k and target, in the order in which they were first met. */
  get measured(): MeasuredRecall[] {
    this.#forget()
    return [...this.#tallies.values()].map(({ k, target, queries, recall, squares }) => {
      const mean = recall / queries
      const variance = Math.max(0, squares / queries - mean * mean)
      return { k, target, ...wilson(mean, variance, queries, k), samples: queries }
    })
  }

  get learned(): ShadowLearned {
    this.#forget()
    const { loss = 0, samples = [] } = this.#learner ?? {}
    return { loss, byK: samples, tallies: [...this.#tallies.values()] }
  }

  restore({ loss, byK, tallies }: ShadowLearned): void {
    this.#learner?.restore(loss, byK)
    this.#version = this.#state.store.version
    for (const tally of tallies) this.#tallies.set(keyOf(tally), { ...tally })
  }

  /** What was measured counts for as much as is still there of the rows that it was measured on. */
  #forget(): void {
    const { version, liveRows } = this.#state.store
    if (version === this.#version) return
    const keep = Math.exp((this.#version - version) / liveRows)
    this.#version = version
    if (keep < OTHER_DATA) this.#learner?.forget()
    for (const [key, tally] of this.#tallies) {
      tally.queries *= keep
      tally.recall *= keep
      tally.squares *= keep
      if (tally.queries < LEAST_TOLD) this.#tallies.delete(key)
    }
  }

  /** @param isAgain - of a query that was counted before: all of these count for no more than there are of them. */
  #count({ k, target }: Sampled, recall: number, isAgain: boolean): void {
    const key = keyOf({ k, target })
    const tally = this.#tallies.get(key) ?? { k, target, queries: 0, recall: 0, squares: 0 }
    this.#tallies.set(key, tally)
    const more = 0.5 ** (1 / HALF_LIFE) * tally.queries + 1
    const known = this.#recent.filter(recent => keyOf(recent) === key).length
    const queries = isAgain ? Math.max(1, Math.min(more, Math.max(tally.queries, known))) : more
    const keep = tally.queries > 0 ? (queries - 1) / tally.queries : 0
    tally.queries = queries
    tally.recall = keep * tally.recall + recall
    tally.squares = keep * tally.squares + recall * recall
  }
}

/** Without any bucket it is no number. */
function isOfBucket(logFloor: number): boolean {
  return logFloor < Number.POSITIVE_INFINITY
}

function keyOf({ k, target }: Pick<Sampled, 'k' | 'target'>): string {
  return `${k}/${target}`
}
