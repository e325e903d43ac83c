/** Dead entries of a bucket are dropped: the living ones are copied into a new chain, as their codes are of the same centroid. */
import type { IndexState } from '../index-state.js'

/**
 * Share of dead entries from which on a plan has the others copied: a death costs ten copies then, and a query reads 5 % too much. What
 * searches and refining tidy on their own has three times as many.
 */
const DEAD_SHARE = 0.1

export function isStale({ directory }: IndexState, bucket: number): boolean {
  const stored = directory.sizes[bucket]!
  return stored > 0 && stored - directory.lives[bucket]! >= DEAD_SHARE * stored
}

export function compactBucket({ directory }: IndexState, bucket: number): boolean {
  if (directory.sizes[bucket] === directory.lives[bucket]) return false
  directory.compact(bucket)
  return true
}
