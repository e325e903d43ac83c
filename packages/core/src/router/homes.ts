/** The two buckets of rows, by position. */
export interface Homes {
  /** The bucket of the nearest centroid, by squared L2 under every metric, because k-means partitions by it. */
  readonly homes: Uint32Array
  /** One that is near in another direction (SOAR), so that a query which the home's boundary cuts off still meets the row; or NONE. */
  readonly seconds: Uint32Array
}
