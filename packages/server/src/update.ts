/**
 * Writes that depend on the rows as they are: updates of payloads, and deletes by filter. Each finds its rows, waits for the writes under way that
 * touch the same ids, and is logged in the tick in which what it found is still true. One record, so all of it or nothing.
 */
import { type Id, MAX_RECORD_BYTES } from '@drift/core'
import { orAborted } from './abort.js'
import type { Engine } from './engine.js'
import { DriftError } from './errors.js'
import { type FilterNode, parseFilter } from './filter/filter.js'
import { rowsOf, withMatching } from './filter/match.js'
import { show } from './given.js'
import { encodeDelete, encodeUpsert } from './operation.js'
import { emptyBatch, parseIds } from './rows.js'
import type { Store } from './store.js'

/** What was logged, or why not yet: a promise to wait for before trying again. */
export type Attempt<T> = { readonly logged: T } | { readonly wait: Promise<void> }

export interface Logged {
  readonly lsn: number
  /** Rows changed; resolves when the write is durable and visible. */
  readonly done: Promise<number>
}

/** Rows of the ids now, or of a filter; undefined: every row. */
export type Target = { readonly ids: readonly Id[] } | { readonly filter: FilterNode | undefined }

/** What the caller of a write names: ids, or `{ filter }`. @throws DriftError DRIFT_BATCH, DRIFT_EMPTY_BATCH, DRIFT_FILTER. */
export function parseTarget(target: unknown, where: string): Target {
  if (Array.isArray(target)) {
    if (target.length === 0) throw emptyBatch()
    return { ids: parseIds(target, where) }
  }
  const keys = typeof target === 'object' && target !== null ? Object.keys(target) : []
  if (keys.length !== 1 || keys[0] !== 'filter') {
    throw new DriftError(
      'DRIFT_BATCH',
      `${where} got ${show(target)}, expected an array of ids or { filter }`,
    )
  }
  return { filter: parseFilter((target as { filter: unknown }).filter) }
}

/**
 * Try until no other write is in the way, in turn with the other writers.
 *
 * @param room - as `noRoom`.
 * @param log - runs in the tick in which `rows` are the target's rows, and there is room.
 */
export async function onTarget(
  store: Store,
  target: Target,
  signal: AbortSignal | undefined,
  room: () => Promise<void> | undefined,
  log: (rows: Uint32Array) => Attempt<Logged>,
): Promise<Logged> {
  const attempt = (rows: Uint32Array): Attempt<Logged> => {
    const wait = room()
    return wait ? { wait } : log(rows)
  }
  await store.index.vectorsReady()
  for (;;) {
    const outcome = 'ids' in target ? attempt(store.rowsOfIds(target.ids)) : await matched(target.filter)
    if ('logged' in outcome) return outcome.logged
    await orAborted(outcome.wait, signal)
  }

  async function matched(filter: FilterNode | undefined): Promise<Attempt<Logged>> {
    // Ids are looked for in flight; rows that a filter would match cannot be, and are seen once those writes are.
    const wait = room() ?? store.inFlight.conflict()
    if (wait) return { wait }
    return withMatching(store, filter, signal, matching => attempt(rowsOf(matching)))
  }
}

/** @param ids - named by the caller, whether or not they exist yet. */
export function logUpdate(
  engine: Engine,
  store: Store,
  rows: Uint32Array,
  patch: Uint8Array,
  ids: readonly Id[] = idsOf(store, rows),
): Attempt<Logged> {
  const wait = store.inFlight.conflict(ids)
  if (wait) return { wait }
  if (rows.length === 0) return { logged: nothing(engine) }
  const { dim } = store.config
  const vectorBytes = 4 * dim * rows.length
  if (vectorBytes > MAX_RECORD_BYTES)
    throw tooLarge('update', `${vectorBytes} bytes of vectors`, MAX_RECORD_BYTES)
  // What is logged stands for itself: at replay the versions before may be gone, as a flush leaves out rows that died.
  const batch = store.versions(rows, patch)
  const record = checked('update', encodeUpsert(store.number, batch, dim))
  const { appended, generation } = store.append(batch)
  const leave = store.inFlight.enter(batch.ids)
  const { lsn, done } = engine.journal.log(record, {
    apply() {
      leave()
      return store.publish(appended, batch.payloads).replaced
    },
    abandon() {
      leave()
      store.index.abandon(appended)
    },
  })
  store.record(generation, lsn)
  return { logged: { lsn, done } }
}

export function logDelete(engine: Engine, store: Store, rows: Uint32Array): Attempt<Logged> {
  const ids = idsOf(store, rows)
  const wait = store.inFlight.conflict(ids)
  if (wait) return { wait }
  if (rows.length === 0) return { logged: nothing(engine) }
  const record = checked('delete', encodeDelete(store.number, ids))
  const generation = store.active
  const leave = store.inFlight.enter(ids)
  const { lsn, done } = engine.journal.log(record, {
    apply() {
      leave()
      return store.delete(ids, generation)
    },
    abandon: leave,
  })
  store.record(generation, lsn)
  return { logged: { lsn, done } }
}

/** Nothing to change is nothing to log: as durable as everything before. */
function nothing(engine: Engine): Logged {
  return { lsn: engine.journal.durableLsn, done: Promise.resolve(0) }
}

function idsOf(store: Store, rows: Uint32Array): Id[] {
  return Array.from(rows, row => store.index.idAt(row))
}

function checked(what: string, record: Uint8Array): Uint8Array {
  if (record.length <= MAX_RECORD_BYTES) return record
  throw tooLarge(what, `${record.length} bytes in the log`, MAX_RECORD_BYTES)
}

function tooLarge(what: string, size: string, limit: number): DriftError {
  return new DriftError(
    'DRIFT_BATCH_TOO_LARGE',
    `the ${what} is of ${size}, the limit is ${limit}; narrow its filter and repeat it`,
    { limit },
  )
}
