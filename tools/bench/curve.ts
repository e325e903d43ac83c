// What a sweep says: the points that no other point beats, and the speed at a recall between two of them.
import { quantile } from './measure.js'
import type { Measurement } from './results.js'

export interface Point {
  readonly recall: number
  readonly queriesPerSecond: number
}

/** A setting at the median of its passes, one call a query. */
export function pointOf({ recall, calls }: Measurement): Point {
  return { recall, queriesPerSecond: quantile(calls, 0.5) }
}

/** The points that are faster than every point of higher or equal recall, by rising recall. */
export function front<P extends Point>(points: readonly P[]): P[] {
  const best: P[] = []
  for (const point of points.toSorted(
    (a, b) => b.recall - a.recall || b.queriesPerSecond - a.queriesPerSecond,
  )) {
    const fastest = best.at(-1)?.queriesPerSecond ?? 0
    if (point.queriesPerSecond > fastest) best.push(point)
  }
  return best.reverse()
}

/**
 * Queries per second at a recall: the logarithm is linear between two points of the front. Below the lowest point it is that
 * point's, which is a lower bound.
 *
 * @returns undefined when the recall was not reached.
 */
export function rateAt(points: readonly Point[], recall: number): number | undefined {
  return along(front(points), recall, point => Math.log(point.queriesPerSecond), Math.exp)
}

/** Another figure of the points of the front at a recall, linear between two of them. */
export function valueAt<P extends Point>(
  points: readonly P[],
  recall: number,
  value: (point: P) => number,
): number | undefined {
  return along(front(points), recall, value, x => x)
}

function along<P extends Point>(
  points: readonly P[],
  recall: number,
  value: (point: P) => number,
  back: (value: number) => number,
): number | undefined {
  const above = points.findIndex(point => point.recall >= recall)
  if (above < 0) return undefined
  const [low, high] = [points[above - 1], points[above]!]
  if (low === undefined) return back(value(high))
  const share = (recall - low.recall) / (high.recall - low.recall)
  return back(value(low) + share * (value(high) - value(low)))
}
