/**
 * Buckets that grew over twice their target become the two halves that 2-means finds.
 * Rule: halves are found beside everything else, in the pool if there is one (halve.ts); a bucket changes in one synchronous step, in which it
 * keeps its number and half of its rows, another gets the others, both in new chains. Rows that died meanwhile are in neither.
 * Second entries go to the nearer half. Rows of neighbours that are now nearer to a new centroid stay where they are: they are found from
 * where they are.
 */
import { BLOCK_ENTRIES, blockBytes } from '@drift/native'
import type { IndexState } from '../index-state.js'
import type { HalveTask } from '../pool/tasks.js'
import type { Job } from './assign.js'
import { type Halves, halveBuckets } from './halve.js'
import { atOnce, type Slices } from './slices.js'

/** Buckets of a pool task: some milliseconds. */
const TASK_BUCKETS = 32
/** Tasks a thread gets at once. */
const TASKS_PER_WAVE = 2
/** Multiply-adds that publishing the halves of one bucket is worth: some thirty microseconds. */
const PUBLISH_WORK = 1e6

/** Split the touched buckets that are too large, and what comes of them. */
export async function splitLarge(
  state: IndexState,
  touched: ReadonlySet<number>,
  slices: Slices,
  job: Job,
): Promise<void> {
  for (let large = tooLarge(state, touched); large.length > 0; ) {
    large = tooLarge(state, await splitAll(state, large, slices, job))
  }
}

function tooLarge(state: IndexState, buckets: Iterable<number>): number[] {
  const large: number[] = []
  for (const bucket of buckets) if (isTooLarge(state, bucket)) large.push(bucket)
  return large
}

export function isTooLarge(state: IndexState, bucket: number): boolean {
  return state.directory.homesIn(bucket) > 2 * state.shape.bucketRows
}

/** @returns the buckets that were split and those that came of them. */
async function splitAll(
  state: IndexState,
  buckets: readonly number[],
  slices: Slices,
  { pool, signal, check }: Job,
): Promise<number[]> {
  const made: number[] = []
  // A bucket whose rows all died may be another by the time its halves are known.
  const serials = new Map(buckets.map(bucket => [bucket, state.health.serialOf(bucket)]))
  const isSame = (bucket: number) => state.health.serialOf(bucket) === serials.get(bucket)
  const publish = async (halves: Halves) => {
    for (const [bucket, added] of publishHalves(state, halves, isSame)) {
      made.push(bucket, added)
      await slices.spend(PUBLISH_WORK)
    }
  }
  if (pool === undefined) {
    for (const bucket of buckets) await publish(await slices.run(here(state, bucket)))
    return made
  }
  const wave = pool.threads * TASKS_PER_WAVE * TASK_BUCKETS
  for (let first = 0; first < buckets.length; first += wave) {
    // A pin for each wave, so that chains which it replaces are free for the next one.
    const { snapshot, release } = state.pin()
    try {
      const tasks: HalveTask[] = []
      const end = Math.min(buckets.length, first + wave)
      for (let at = first; at < end; at += TASK_BUCKETS) {
        const some = Uint32Array.from(buckets.slice(at, Math.min(end, at + TASK_BUCKETS)))
        tasks.push({ kind: 'halve', snapshot, buckets: some, seed: state.shape.seed })
      }
      const told = await pool.runAll(tasks, signal)
      check()
      for (const halves of told) await publish(halves)
    } finally {
      release()
    }
  }
  return made
}

/** @returns the other bucket, or undefined when all rows of the bucket are the same point. */
export function splitBucket(state: IndexState, bucket: number): number | undefined {
  const [split] = publishHalves(state, atOnce(here(state, bucket)), () => true)
  return split?.[1]
}

function here(state: IndexState, bucket: number): Generator<number, Halves> {
  return halveBuckets(state.slabs, state.store, Uint32Array.of(bucket), state.shape.seed)
}

/** Each bucket in a step of its own. Yields its number and the other half's; what became too small meanwhile is left as it is. */
function* publishHalves(
  state: IndexState,
  halves: Halves,
  isSame: (bucket: number) => boolean,
): Generator<readonly [number, number]> {
  const { store, directory, router } = state
  const { home, second } = store
  const bytes = blockBytes(router.padded)
  let row = 0
  let block = 0
  for (const [i, bucket] of halves.buckets.entries()) {
    const stays = halfAt(halves, 2 * i, row, block, router.padded)
    row += stays.rows.length
    block += stays.entries.length / bytes
    const leaves = halfAt(halves, 2 * i + 1, row, block, router.padded)
    row += leaves.rows.length
    block += leaves.entries.length / bytes
    if (!isSame(bucket) || !isTooLarge(state, bucket)) continue
    // Before anything changes: there may be no room.
    directory.extents.reserve((stays.entries.length + leaves.entries.length) / bytes)
    const added = state.bucketFor(leaves.centroid, leaves.group)
    router.set(bucket, stays.centroid, stays.group)
    for (const moved of leaves.rows) {
      if (home[moved] === bucket) home[moved] = added
      else if (second[moved] === bucket) second[moved] = added
    }
    directory.adopt(added, leaves.rows, leaves.entries)
    directory.adopt(bucket, stays.rows, stays.entries)
    yield [bucket, added]
  }
}

/** @param row - the first of the half, `block` the first of its entries. */
function halfAt(
  { counts, rows, blocks, centroids, groups }: Halves,
  half: number,
  row: number,
  block: number,
  padded: number,
): { rows: Uint32Array; entries: Uint8Array; centroid: Float32Array; group: number } {
  const count = counts[half]!
  const bytes = blockBytes(padded)
  return {
    rows: rows.subarray(row, row + count),
    entries: blocks.subarray(block * bytes, (block + Math.ceil(count / BLOCK_ENTRIES)) * bytes),
    centroid: centroids.slice(half * padded, (half + 1) * padded),
    group: groups[half]!,
  }
}
