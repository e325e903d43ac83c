/** One operation of a plan, done: what it found, what it changed. */
import type { IndexState } from '../index-state.js'
import type { Job } from './assign.js'
import { compactBucket } from './compact.js'
import { splitAround } from './heal-split.js'
import { refineAround } from './local-refine.js'
import { mergeBucket, PAPER_TARGETS, TARGETS } from './merge.js'
import { isDue, type Operation } from './plan.js'
import { recentreBucket } from './recentre.js'
import { settleBucket } from './settle.js'
import { Slices } from './slices.js'
import { type Moves, NO_MOVES } from './steal.js'
import { PAPER_MOVES } from './urgency.js'

/** The bucket and the index at one moment. */
export interface HealState {
  readonly buckets: number
  /** Of the bucket: rows at home, entries that count, all entries. 0 when it has gone. */
  readonly rows: number
  readonly live: number
  readonly stored: number
}

export interface Healed extends Moves {
  readonly operation: Operation
  /** False: the bucket has gone or changed, or the operation would not have paid. */
  readonly applied: boolean
  readonly before: HealState
  readonly after: HealState
}

/** @param limit - rows that may move. */
export async function applyOperation(
  state: IndexState,
  operation: Operation,
  limit: number,
  job: Job,
): Promise<Healed> {
  const { bucket, serial } = operation
  const before = stateOf(state, bucket, serial)
  if (!isThere(state, bucket, serial) || !isDue(state, operation)) {
    return { operation, applied: false, ...NO_MOVES, before, after: before }
  }
  // What a reader in another thread reaches stays as it is until it is done.
  const release = state.pins.open()
  try {
    const done = await run(state, operation, limit, new Slices(job.check), job)
    return { operation, ...done, before, after: stateOf(state, bucket, serial) }
  } finally {
    release()
  }
}

async function run(
  state: IndexState,
  { kind, bucket, policy }: Operation,
  limit: number,
  slices: Slices,
  job: Job,
): Promise<Moves & { readonly applied: boolean }> {
  switch (kind) {
    case 'compact':
      return { ...NO_MOVES, applied: compactBucket(state, bucket) }
    case 'recentre':
      return { ...NO_MOVES, applied: recentreBucket(state, bucket) }
    case 'split': {
      const { children, moves, seconds } = await splitAround(state, bucket, limit, slices, job)
      return { moves, seconds, applied: children > 1 }
    }
    case 'merge': {
      const paper = policy === 'paper'
      const most = paper ? Math.min(limit, PAPER_MOVES) : limit
      const targets = paper ? PAPER_TARGETS : TARGETS
      const { dropped, moves, seconds } = await mergeBucket(state, bucket, most, slices, targets)
      return { moves, seconds, applied: dropped || moves > 0 }
    }
    case 'settle': {
      const done = await settleBucket(state, bucket, limit, slices, job)
      return { ...done, applied: true }
    }
    case 'refine': {
      const { moved, moves, seconds } = await refineAround(state, bucket, limit, slices, job)
      return { moves, seconds, applied: moved || moves + seconds > 0 }
    }
  }
}

function isThere({ directory, health }: IndexState, bucket: number, serial: number): boolean {
  return bucket < directory.count && health.serialOf(bucket) === serial
}

function stateOf(state: IndexState, bucket: number, serial: number): HealState {
  const { directory } = state
  if (!isThere(state, bucket, serial)) return { buckets: directory.count, rows: 0, live: 0, stored: 0 }
  return {
    buckets: directory.count,
    rows: directory.homesIn(bucket),
    live: directory.lives[bucket]!,
    stored: directory.sizes[bucket]!,
  }
}
