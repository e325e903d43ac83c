/**
 * A neighbourhood is redrawn beside everything else, in the pool if there is one, and published here, one bucket a step.
 * Rule: maintenance runs one job after the other, so meanwhile rows only die: their entries do not count, wherever they are.
 */
import { BLOCK_ENTRIES, blockBytes } from '@drift/native'
import type { IndexState } from '../index-state.js'
import type { RedrawTask } from '../pool/tasks.js'
import type { Job } from './assign.js'
import { type RedrawAsk, type Redrawn, redraw } from './redraw.js'
import { seenIn } from './region.js'
import type { Slices } from './slices.js'

/** Multiply-adds that publishing a bucket is worth: some fifty microseconds. */
const PUBLISH_WORK = 2e6

export async function redrawn(
  state: IndexState,
  { how, bucket, parts = 2 }: Pick<RedrawAsk, 'how' | 'bucket'> & Partial<Pick<RedrawAsk, 'parts'>>,
  slices: Slices,
  { pool, signal, check }: Job,
): Promise<Redrawn> {
  const { bucketRows, seed } = state.shape
  const ask: RedrawAsk = { how, bucket, parts, bucketRows, seed }
  if (pool === undefined) return slices.run(redraw(seenIn(state), ask))
  const { snapshot, release } = state.pin()
  try {
    const task: RedrawTask = { kind: 'redraw', snapshot, ask }
    const [found] = await pool.runAll([task], signal)
    check()
    return found!
  } finally {
    release()
  }
}

/** Buckets for those new centroids to which rows will go. */
export function publishAdded(state: IndexState, { added, sizes }: Redrawn): void {
  const { padded } = state.router
  for (const [child, size] of sizes.entries()) {
    if (size > 0) state.addRotated(added.slice(child * padded, (child + 1) * padded))
  }
}

/** The other centroids, and the entries around them. */
export async function publishCentroids(state: IndexState, { moved }: Redrawn, slices: Slices): Promise<void> {
  const { padded } = state.router
  const bytes = blockBytes(padded)
  let row = 0
  let block = 0
  for (const [i, bucket] of moved.buckets.entries()) {
    const count = moved.counts[i]!
    const blocks = Math.ceil(count / BLOCK_ENTRIES)
    state.adoptCentroid(
      bucket,
      moved.centroids.slice(i * padded, (i + 1) * padded),
      moved.groups[i]!,
      moved.rows.subarray(row, row + count),
      moved.blocks.subarray(block * bytes, (block + blocks) * bytes),
    )
    row += count
    block += blocks
    await slices.spend(PUBLISH_WORK)
  }
}
