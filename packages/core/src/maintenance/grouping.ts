/**
 * Makes the groups of many buckets (router/groups.ts): k-means over their centroids, in slices between which the event loop turns.
 * Rule: the router has the groups it had until the new ones are complete. It stands still meanwhile, as maintenance runs one job after the
 * other; had it changed, the new ones would be dropped and due again.
 */
import { kernels } from '@drift/native'
import type { IndexState } from '../index-state.js'
import { Groups } from '../router/groups.js'
import { moveToMeans } from './means.js'
import { routeWork } from './route.js'
import type { Slices } from './slices.js'

/** Buckets of a group in the mean: a block of entries. Measured in docs/adr/0023. */
const GROUP_BUCKETS = 32
const PASSES = 3
/** Centroids that are routed to centers at once, in about a millisecond. */
const PART = 256

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
  const below = () => ({
    padded,
    flips: store.rotation.flips,
    centroids: router.centroids,
    codes: router.codes,
    factors: router.factors,
  })
  const all = Uint32Array.from({ length: count }, (_, bucket) => bucket)
  const nearest = new Uint32Array(count)
  let made = new Groups(centers, below)
  for (let pass = 0; pass <= PASSES; pass++) {
    if (pass > 0) {
      moveToMeans(router.centroids, nearest, padded, centers, groups)
      made = new Groups(centers, below)
    }
    for (let first = 0; first < count; first += PART) {
      const part = Math.min(PART, count - first)
      // As rows find their buckets, by codes: comparing each with every center takes a growing share of a growing index.
      kernels.indexAssign(made.view, all, first, part, nearest, undefined)
      await slices.spend(routeWork(part, groups, padded))
      if (router.version !== version) return
    }
  }
  for (let first = 0; first < count; first += PART) {
    const part = all.subarray(first, first + PART)
    made.place(part, nearest.subarray(first, first + part.length))
    await slices.spend(part.length * padded * 4)
    if (router.version !== version) return
  }
  made.finish()
  router.groups = made
}
