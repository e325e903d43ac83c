/**
 * Choosing the rows that are worth an exact distance: the best estimates, each row once.
 * Rule: the choice depends on the rows and their estimates alone, not on how often or in which order they were met. A row is met
 * twice while it is flushed (in its memtable and in its bucket), or through a stale entry.
 */
import { kernels } from '@drift/native'
import type { Scratch } from './scratch.js'

/** Estimates are good to about 0.5 %: this many beyond k keep the true k nearest among the finalists. */
export function finalistsOf(k: number): number {
  return k + Math.max(14, k >>> 1)
}

/**
 * The `best` distinct rows of scratch.rows[0 .. count) with the smallest scratch.estimates, into scratch.finalists from `at` on,
 * nearest first, and their estimates into scratch.ordered from 0 on.
 *
 * @returns how many; fewer than `best` only when there are fewer.
 */
export function chooseFinalists(scratch: Scratch, count: number, best: number, at: number): number {
  for (let wanted = Math.min(best, count); ; wanted = Math.min(2 * wanted, count)) {
    scratch.reserveFinalists(at + wanted)
    const near = kernels.topK(scratch.estimates, count, wanted, scratch.positions, scratch.ordered)
    const distinct = distinctRows(scratch, near, at)
    if (distinct >= best || near < wanted || wanted === count) return Math.min(distinct, best)
  }
}

/** The rows at scratch.positions[0 .. near), without repetition. Equal rows have equal estimates. */
function distinctRows({ rows, finalists, positions, ordered }: Scratch, near: number, at: number): number {
  let written = 0
  for (let i = 0; i < near; ) {
    let end = i + 1
    while (end < near && ordered[end] === ordered[i]) end++
    if (end - i > 1) positions.subarray(i, end).sort((a, b) => rows[a]! - rows[b]!)
    for (let first = i; i < end; i++) {
      const row = rows[positions[i]!]!
      if (i > first && row === finalists[at + written - 1]) continue
      ordered[written] = ordered[i]!
      finalists[at + written++] = row
    }
  }
  return written
}
