/**
 * Searches among some of the rows: those that match a filter, those within a radius, or both. The matching rows go to the index as a bitmap and count from the
 * first step on, so k rows come back whenever k match; nothing is filtered afterwards but the distance.
 */
import type { Id } from '@drift/core'
import type { BatchHits } from '../collection.js'
import { type Asked, type Width, widthOf } from '../options.js'
import type { Store } from '../store.js'
import { type FilterNode, parseFilter } from './filter.js'
import { withMatching } from './match.js'

export interface Narrowed {
  /** Undefined: every row. */
  readonly filter: FilterNode | undefined
  readonly radius: number | undefined
  /** Undefined: every row within the radius. */
  readonly k: number | undefined
  readonly width: Width
}

/** Undefined when every row may be found. @throws DriftError DRIFT_FILTER. */
export function parseNarrowed(asked: Asked): Narrowed | undefined {
  const { k, filter, radius, isEvery } = asked
  if (filter === undefined && radius === undefined) return undefined
  return {
    filter: filter === undefined ? undefined : parseFilter(filter),
    radius,
    k: isEvery ? undefined : k,
    width: widthOf(asked),
  }
}

/**
 * @param query - read after this has returned.
 * @param answer - makes hits of what was found; the rows stay true to their ids until it resolves.
 */
export function searchNarrowed<Hit>(
  store: Store,
  query: Float32Array,
  asked: Narrowed,
  answer: (found: Found) => Promise<Hit[]>,
): Promise<Hit[]> {
  return withAllowed(store, asked, async allow => answer(await nearest(store, query, asked, allow)))
}

/**
 * All queries see the same state; with a radius and no k the width is that of the longest answer.
 *
 * @param queries - read after this has returned.
 */
export function searchBatchNarrowed(
  store: Store,
  queries: Float32Array,
  asked: Narrowed,
): Promise<BatchHits> {
  return withAllowed(store, asked, async allow => {
    if (asked.k === undefined) return allWithin(store, queries, asked, allow)
    const width = { ...asked.width, ...allow }
    const { k, counts, ids, distances } = await store.index.searchBatch(queries, width)
    for (let q = 0; q < counts.length; q++) {
      counts[q] = countWithin(distances.subarray(q * k, q * k + counts[q]!), asked.radius)
      distances.fill(Number.POSITIVE_INFINITY, q * k + counts[q]!, (q + 1) * k)
    }
    return {
      k,
      ids: Array.from(counts, (count, q) => ids.slice(q * k, q * k + count) as Id[]),
      distances,
      counts,
    }
  })
}

/** Nearest first. */
export interface Found {
  readonly rows: ArrayLike<number>
  readonly ids: readonly Id[]
  readonly distances: Float32Array
}

type Allowed = { readonly allow?: Uint32Array }

/** Rows stay true to their ids while `use` runs, which searches in the tick in which they are those that match. */
async function withAllowed<T>(
  store: Store,
  { filter, width }: Narrowed,
  use: (allow: Allowed) => Promise<T>,
): Promise<T> {
  // A search that waited for vectors itself would look among rows that matched before: a row replaced meanwhile would be in no version.
  await store.index.vectorsReady()
  return withMatching(store, filter, width.signal, ({ rows }) => use(filter ? { allow: rows } : {}))
}

async function nearest(store: Store, query: Float32Array, asked: Narrowed, allow: Allowed): Promise<Found> {
  const { k, radius, width } = asked
  if (k === undefined) return store.index.within(query, radius!, { ...width, ...allow })
  const { rows, ids, distances } = await store.index.search(query, { ...width, ...allow })
  const count = countWithin(distances, radius)
  return { rows: rows.subarray(0, count), ids: ids.slice(0, count), distances: distances.subarray(0, count) }
}

async function allWithin(
  store: Store,
  queries: Float32Array,
  { radius, width }: Narrowed,
  allow: Allowed,
): Promise<BatchHits> {
  const found = await store.index.withinMany(queries, radius!, { ...width, ...allow })
  const counts = Uint32Array.from(found, ({ ids }) => ids.length)
  const k = counts.reduce((most, count) => Math.max(most, count), 0)
  const distances = new Float32Array(found.length * k).fill(Number.POSITIVE_INFINITY)
  for (const [q, one] of found.entries()) distances.set(one.distances, q * k)
  return { k, ids: found.map(({ ids }) => ids), distances, counts }
}

/** @param distances - ascending. */
function countWithin(distances: Float32Array, radius = Number.POSITIVE_INFINITY): number {
  let count = distances.length
  while (count > 0 && distances[count - 1]! > radius) count--
  return count
}
