/**
 * Makes the groups of many buckets (router/groups.ts): k-means over their centroids, in slices between which the event loop turns.
 * Rule: the router has the groups it had until the new ones are complete. It stands still meanwhile, as maintenance runs one job after the
 * other; had it changed, the new ones would be dropped and due again.
 */
import { kernels } from '@drift/native'
import type { IndexState } from '../index-state.js'
import { Groups } from '../router/groups.js'
import { moveToMeans } from './means.js'
import type { Slices } from './slices.js'

/** Buckets of a group in the mean: a block of entries. Measured in docs/adr/0023. */
const GROUP_BUCKETS = 32
const PASSES = 3
/** Centroids that are compared with all centers at once, in about a millisecond. */
const PART = 256
/** Multiply-adds of f32 that comparing two vectors by their 16-bit forms is worth, a dimension. */
const COMPARED_WORK = 1 / 3

/** Groups for the buckets, when they are due. */
export async function groupBuckets(state: IndexState, slices: Slices): Promise<void> {
  const { router, store } = state
  if (!router.isGroupingDue) return
  const { padded, count, version } = router
  const groups = Math.max(1, Math.round(count / GROUP_BUCKETS))
  // Buckets lie in no order of space, so that every n-th of them is a sample.
  const centers = new Float32Array(groups * padded)
  for (let group = 0; group < groups; group++) {
    const bucket = Math.floor((group * count) / groups)
    centers.set(router.centroids.subarray(bucket * padded, (bucket + 1) * padded), group * padded)
  }
  const nearest = new Uint32Array(count)
  for (let pass = 0; pass <= PASSES; pass++) {
    if (pass > 0) moveToMeans(router.centroids, nearest, padded, centers, groups)
    for (let first = 0; first < count; first += PART) {
      const part = Uint32Array.from({ length: Math.min(PART, count - first) }, (_, i) => first + i)
      const into = nearest.subarray(first, first + part.length)
      kernels.nearest(
        router.centroids,
        padded,
        part,
        part.length,
        centers,
        groups,
        into,
        new Float32Array(PART),
      )
      await slices.spend(part.length * groups * padded * COMPARED_WORK)
      if (router.version !== version) return
    }
  }
  const made = new Groups(centers, () => ({
    padded,
    flips: store.rotation.flips,
    centroids: router.centroids,
    codes: router.codes,
    factors: router.factors,
  }))
  for (let first = 0; first < count; first += PART) {
    const part = Uint32Array.from({ length: Math.min(PART, count - first) }, (_, i) => first + i)
    made.place(part, nearest.subarray(first, first + part.length))
    await slices.spend(part.length * padded * 4)
    if (router.version !== version) return
  }
  made.finish()
  router.groups = made
}
