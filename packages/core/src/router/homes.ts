/** Which buckets rows go to, chosen by the kernel from the codes of the rows. */
import { type IndexSlabs, kernels } from '@drift/native'

/** The two buckets of rows, by position. */
export interface Homes {
  /** The bucket of the nearest centroid, by squared L2 under every metric, because k-means partitions by it. */
  readonly homes: Uint32Array
  /** One that is near in another direction (SOAR), so that a query which the home's boundary cuts off still meets the row; or NONE. */
  readonly seconds: Uint32Array
}

/** Buckets among which the second is chosen. */
export const SECOND_CHOICES = 16

/**
 * Into places first .. first + count - 1 of `into`. Among all buckets: those near to a row's own centroid are no substitute, since in many
 * dimensions the centroids nearest to a row are not near to each other.
 *
 * @param seconds - choose second buckets too.
 */
export function assignBuckets(
  slabs: IndexSlabs,
  rows: Uint32Array,
  first: number,
  count: number,
  into: Homes,
  seconds: boolean,
): void {
  kernels.indexAssign(slabs, rows, first, count, into.homes, seconds ? into.seconds : undefined)
}
