/**
 * Searches of an index whose exact vectors lie elsewhere (cold-vectors.ts): the search by codes is asked for some rows more than are
 * owed, and what it finds is ranked exactly here, in the index's own thread. Where all rows are to be compared, the bounds of their
 * codes say which ones have to be read. Rule: rows are read while the pin is open under which they were found.
 */
import type { IndexState } from '../index-state.js'
import { atOnce, Slices } from '../maintenance/slices.js'
import type { IndexPool } from '../pool/pool.js'
import type { BoundsTask } from '../pool/tasks.js'
import { liveAmong } from './allowed.js'
import { emptySlice, type FoundSlice, SLICE_QUERIES } from './batch.js'
import { candidatesOf } from './bounds.js'
import type { Ranked } from './exactly.js'
import type { Scratch } from './scratch.js'
import { attach, type Snapshot } from './snapshot.js'
import type { SearchView, SearchWidth } from './view.js'

/** As it is, or with rows to spare for the ranking. */
export function widened({ exact }: IndexState, width: SearchWidth): SearchWidth {
  if (exact === undefined) return width
  // Each by its name, in the order of `requireWidth`: of one shape with all others, which a spread is not (ADR 33).
  return {
    k: width.k + width.rerank,
    owed: width.owed,
    rerank: width.rerank,
    probes: width.probes,
    floor: width.floor,
    weights: width.weights,
    near: width.near,
    flat: width.flat,
    far: width.far,
    paper: width.paper,
    ef: width.ef,
    allow: width.allow,
  }
}

/** Whether all rows are to be compared with vectors that lie elsewhere. */
export function isAllElsewhere({ exact }: IndexState, { probes }: SearchWidth): boolean {
  return exact !== undefined && probes === Number.POSITIVE_INFINITY
}

/** The nearest of all rows that count, into the results of the scratch, for the prepared query there. @returns how many. */
export function searchAll(state: IndexState, width: SearchWidth, scratch: Scratch): number {
  const { view } = state
  const { slabs, liveRows } = view
  const query = scratch.query.slice()
  const bits = width.allow === undefined ? slabs.live : scratch.allowedIn(view, width.allow).bits
  const candidates = atOnce(candidatesOf(view, bits, query, width.owed))
  const { rows, distances } = atOnce(state.exact!.nearest(query, width.owed, candidates))
  const { outRows, outDistances } = scratch.reserveResult(rows.length)
  outRows.set(rows)
  outDistances.set(distances)
  scratch.scannedRows = liveRows
  scratch.scannedBuckets = slabs.bucketCount
  return rows.length
}

/** `searchAll` for many prepared queries over a pinned snapshot: codes in the pool, where there is one, and vectors here in slices. */
export async function searchAllMany(
  state: IndexState,
  snapshot: Snapshot,
  pool: IndexPool | undefined,
  queries: Float32Array,
  { owed, allow }: SearchWidth,
  check: () => void,
  signal?: AbortSignal,
): Promise<FoundSlice> {
  const { dim } = snapshot
  const found = emptySlice(queries.length / dim, owed)
  const each = found.counts.map((_, q) => q)
  const queryAt = (q: number) => queries.slice(q * dim, (q + 1) * dim)
  const slices = new Slices(check)
  const pooled = await pool?.runAll(
    Array.from(each, (q): BoundsTask => ({ kind: 'bounds', snapshot, query: queryAt(q), k: owed, allow })),
    signal,
  )
  for (const q of each) {
    const query = queryAt(q)
    const candidates = pooled?.[q] ?? (await slices.run(candidatesIn(attach(snapshot), query, owed, allow)))
    check() // the index may have been closed while others were at it, and its vectors with it
    put(found, q, owed, await slices.run(state.exact!.nearest(query, owed, candidates)))
  }
  return found
}

/** Of a view without scratch: see `candidatesOf`. */
export function candidatesIn(
  view: Pick<SearchView, 'slabs' | 'liveRows'>,
  query: Float32Array,
  k: number,
  allow: Uint32Array | undefined,
): ReturnType<typeof candidatesOf> {
  return candidatesOf(view, liveAmong(view.slabs.live, allow), query, k)
}

/** What a search by codes found, `width.k` rows a query, ranked: `width.owed` rows a query. */
export async function rerankMany(
  exact: NonNullable<IndexState['exact']>,
  coarse: FoundSlice,
  queries: Float32Array,
  { k, owed }: SearchWidth,
  check: () => void,
): Promise<FoundSlice> {
  const count = coarse.counts.length
  const dim = queries.length / count
  const found = emptySlice(count, owed)
  const slices = new Slices(check)
  for (let q = 0; q < count; q++) {
    const at = q * k
    const query = queries.subarray(q * dim, (q + 1) * dim)
    const left = exact.rerank(query, owed, coarse.rows, coarse.distances, at, coarse.counts[q]!)
    put(found, q, owed, {
      rows: coarse.rows.subarray(at, at + left),
      distances: coarse.distances.subarray(at, at + left),
    })
    if (q % SLICE_QUERIES === SLICE_QUERIES - 1) await slices.turn()
  }
  return found
}

function put(found: FoundSlice, q: number, k: number, { rows, distances }: Ranked): void {
  found.rows.set(rows, q * k)
  found.distances.set(distances, q * k)
  found.counts[q] = rows.length
}
