/** Which buckets rows go to, chosen by the kernel from the codes of the rows. */
import { type IndexSlabs, kernels } from '@drift/native'

/** The two buckets of rows, by position. */
export interface Homes {
  /** The bucket of the nearest centroid, by squared L2 under every metric, because k-means partitions by it. */
  readonly homes: Uint32Array
  /** One that is near in another direction (SOAR), so that a query which the home's boundary cuts off still meets the row; or NONE. */
  readonly seconds: Uint32Array
}

/** The `width` buckets nearest to each bucket, in shared memory. Buckets that came later have none. */
export interface Neighbours {
  readonly buckets: Uint32Array
  readonly width: number
}

/** What a row is compared with when it has a home already: twice the buckets among which the second is chosen. */
export const NEIGHBOURS = 32

/**
 * Into places first .. first + count - 1 of `into`.
 *
 * @param neighbours - choose among those of into.homes, which are the homes so far.
 * @param seconds - choose second buckets too.
 */
export function assignBuckets(
  slabs: IndexSlabs,
  rows: Uint32Array,
  first: number,
  count: number,
  into: Homes,
  neighbours: Neighbours | undefined,
  seconds: boolean,
): void {
  const second = seconds ? into.seconds : undefined
  if (neighbours === undefined) kernels.indexAssign(slabs, rows, first, count, into.homes, second)
  else {
    const { buckets, width } = neighbours
    kernels.indexAssign(slabs, rows, first, count, into.homes, second, buckets, width)
  }
}
