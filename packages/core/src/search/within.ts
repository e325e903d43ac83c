/**
 * Range search: every row within a distance, compared exactly, or by its codes where vectors are not kept. In many dimensions no bucket can be ruled out by its distance, so all rows
 * that count are read, in slices between which the event loop turns. Equal distances are ordered by row number.
 */
import { setImmediate } from 'node:timers/promises'
import { Slices } from '../maintenance/slices.js'
import { liveRowsOf } from '../row-store.js'
import { candidatesIn } from './elsewhere.js'
import type { ExactRanking } from './exactly.js'
import { measureOf } from './measure.js'
import { attach, type Snapshot } from './snapshot.js'

/** Values compared between two turns of the event loop: about two milliseconds. */
const SLICE_VALUES = 4 * 1024 * 1024

export interface RowsWithin {
  readonly rows: Uint32Array
  /** Kernel distances. */
  readonly distances: Float32Array
  readonly scannedRows: number
}

/** @param exact - where exact vectors lie elsewhere. @param query - prepared. `isWithin` takes a kernel distance; `check` throws when the result is no longer wanted. */
export async function rowsWithin(
  snapshot: Snapshot,
  exact: ExactRanking | undefined,
  query: Float32Array,
  allow: Uint32Array | undefined,
  isWithin: (distance: number) => boolean,
  check: () => void,
): Promise<RowsWithin> {
  const { live, dim, rowLimit } = snapshot
  const view = attach(snapshot)
  const { slabs } = view
  if (exact !== undefined) {
    const slices = new Slices(check)
    const candidates = await slices.run(candidatesIn(view, query, 1, allow, isWithin))
    const near = await slices.run(exact.near(query, isWithin, candidates))
    return { ...near, scannedRows: view.liveRows }
  }
  const bits = allow === undefined ? live : live.map((word, i) => word & (allow[i] ?? 0))
  const scanned = new Uint32Array(snapshot.liveRows)
  const count = liveRowsOf(bits, rowLimit, scanned)
  const perSlice = Math.max(1, Math.floor(SLICE_VALUES / dim))
  const distances = new Float32Array(Math.min(perSlice, count))
  const measure = measureOf(slabs, query)
  const found: { readonly row: number; readonly distance: number }[] = []
  for (let first = 0; first < count; first += perSlice) {
    if (first > 0) {
      await setImmediate()
      check()
    }
    const some = Math.min(perSlice, count - first)
    const rows = scanned.subarray(first, first + some)
    measure(rows, some, distances)
    for (let i = 0; i < some; i++) {
      if (isWithin(distances[i]!)) found.push({ row: rows[i]!, distance: distances[i]! })
    }
  }
  found.sort((a, b) => a.distance - b.distance || a.row - b.row)
  return {
    rows: Uint32Array.from(found, one => one.row),
    distances: Float32Array.from(found, one => one.distance),
    scannedRows: count,
  }
}
