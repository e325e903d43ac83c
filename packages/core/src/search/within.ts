/**
 * Range search: every row within a distance, compared exactly, or by its codes where vectors are not kept. In many dimensions no bucket can be ruled out by its distance, so all rows
 * that count are read, in slices between which the event loop turns. Equal distances are ordered by row number.
 */
import type { IndexSlabs } from '@drift/native'
import { Slices } from '../maintenance/slices.js'
import { liveRowsOf } from '../row-store.js'
import { liveAmong } from './allowed.js'
import { candidatesOf } from './bounds.js'
import type { ExactRanking } from './exactly.js'
import { measureOf } from './measure.js'
import { attach, type Snapshot } from './snapshot.js'

/** Comparing a value, in multiply-adds: rows come from memory, four million values in about two milliseconds. */
const VALUE_WORK = 5

export interface RowsWithin {
  readonly rows: Uint32Array
  /** Kernel distances. */
  readonly distances: Float32Array
  readonly scannedRows: number
}

/**
 * Of each query.
 *
 * @param exact - where exact vectors lie elsewhere. @param queries - prepared, one after the other. `isWithin` takes a kernel distance;
 *   `check` throws when the result is no longer wanted.
 */
export async function rowsWithin(
  snapshot: Snapshot,
  exact: ExactRanking | undefined,
  queries: Float32Array,
  allow: Uint32Array | undefined,
  isWithin: (distance: number) => boolean,
  check: () => void,
): Promise<RowsWithin[]> {
  const { live, dim, rowLimit } = snapshot
  const view = attach(snapshot)
  const slices = new Slices(check)
  const bits = liveAmong(live, allow)
  const scanned = new Uint32Array(exact === undefined ? snapshot.liveRows : 0)
  const count = exact === undefined ? liveRowsOf(bits, rowLimit, scanned) : 0
  const found: RowsWithin[] = []
  for (let at = 0; at < queries.length; at += dim) {
    const query = queries.subarray(at, at + dim)
    if (exact === undefined) {
      found.push(await nearOf(view.slabs, query, scanned.subarray(0, count), isWithin, slices))
      continue
    }
    const candidates = await slices.run(candidatesOf(view, bits, query, 1, isWithin))
    const near = await slices.run(exact.near(query, isWithin, candidates))
    found.push({ ...near, scannedRows: view.liveRows })
  }
  return found
}

async function nearOf(
  slabs: IndexSlabs,
  query: Float32Array,
  scanned: Uint32Array,
  isWithin: (distance: number) => boolean,
  slices: Slices,
): Promise<RowsWithin> {
  const { dim } = slabs
  const step = Math.min(slices.fit(VALUE_WORK * dim), scanned.length)
  const distances = new Float32Array(step)
  const measure = measureOf(slabs, query)
  const found: { readonly row: number; readonly distance: number }[] = []
  for (let first = 0; first < scanned.length; first += step) {
    const rows = scanned.subarray(first, first + step)
    measure(rows, rows.length, distances)
    for (let i = 0; i < rows.length; i++) {
      if (isWithin(distances[i]!)) found.push({ row: rows[i]!, distance: distances[i]! })
    }
    await slices.spend(VALUE_WORK * dim * rows.length)
  }
  found.sort((a, b) => a.distance - b.distance || a.row - b.row)
  return {
    rows: Uint32Array.from(found, one => one.row),
    distances: Float32Array.from(found, one => one.distance),
    scannedRows: scanned.length,
  }
}
