/** Which buckets rows go to, chosen by the kernel from the codes of the rows. */
import { type IndexSlabs, kernels } from '@drift/native'

/** The two buckets of rows, by position. */
export interface Homes {
  /** The bucket of the nearest centroid, by squared L2 under every metric, because k-means partitions by it. */
  readonly homes: Uint32Array
  /** One that is near in another direction (SOAR), so that a query which the home's boundary cuts off still meets the row; or NONE. */
  readonly seconds: Uint32Array
}

/** What routing found; `seconds` is empty unless they were asked for. */
export interface Routed extends Homes {
  /** Of each row the buckets nearest to it, its home first; empty unless they were asked for. */
  readonly near: Uint32Array
}

/** What is wanted besides the homes. */
export interface Routing {
  /** Also the second buckets. */
  readonly seconds: boolean
  /** Buckets to be listed of each row, instead of the second. */
  readonly near?: number
}

/** Buckets among which the second is chosen. */
export const SECOND_CHOICES = 16

/** Room for `count` rows. */
export function homesFor(count: number, { seconds, near = 0 }: Routing): Routed {
  return {
    homes: new Uint32Array(count),
    seconds: new Uint32Array(seconds ? count : 0),
    near: new Uint32Array(count * near),
  }
}

/**
 * Into places first .. first + count - 1 of `into`. Among all buckets: those near to a row's own centroid are no substitute, since in many
 * dimensions the centroids nearest to a row are not near to each other.
 */
export function assignBuckets(
  slabs: IndexSlabs,
  rows: Uint32Array,
  first: number,
  count: number,
  into: Routed,
  { seconds, near = 0 }: Routing,
): void {
  if (near === 0)
    kernels.indexAssign(slabs, rows, first, count, into.homes, seconds ? into.seconds : undefined)
  else {
    kernels.indexNear(slabs, rows, first, count, near, into.near)
    for (let i = first; i < first + count; i++) into.homes[i] = into.near[i * near]!
  }
}
