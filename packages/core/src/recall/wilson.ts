/**
 * An interval for a recall that was measured on queries of k rows each.
 * Rule: rows of one query are found or missed together, so they count as fewer than k trials: by as much as the variance between queries
 * exceeds that of independent rows (the design effect). Source: Wilson 1927; Kish, Survey Sampling, 1965.
 */

/** Of the normal distribution, for 95 of 100. */
const Z = 1.96

/** @param variance - of the recall between queries. @param queries - at least 1, may be a sum of weights. */
export function wilson(
  measured: number,
  variance: number,
  queries: number,
  k: number,
): { measured: number; low95: number; high95: number } {
  const independent = (measured * (1 - measured)) / k
  const effect = independent > 0 ? Math.min(k, Math.max(1, variance / independent)) : 1
  const trials = (queries * k) / effect
  const middle = (measured + (Z * Z) / (2 * trials)) / (1 + (Z * Z) / trials)
  const spread =
    (Z / (1 + (Z * Z) / trials)) *
    Math.sqrt((measured * (1 - measured)) / trials + (Z * Z) / (4 * trials * trials))
  return { measured, low95: Math.max(0, middle - spread), high95: Math.min(1, middle + spread) }
}
