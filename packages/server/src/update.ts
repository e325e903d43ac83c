/**
 * Writes that depend on the rows as they are: updates of payloads, and deletes by filter. Each finds its rows when no write under way touches
 * the same ids, and is logged while what it found is still true: others wait for their turn until it is. One record, so all of it or nothing.
 */
import { type Id, MAX_RECORD_BYTES } from '@drift/core'
import { orAborted } from './abort.js'
import type { Engine } from './engine.js'
import { DriftError } from './errors.js'
import { type FilterNode, parseFilter } from './filter/filter.js'
import { rowsOf, withMatching } from './filter/match.js'
import { show } from './given.js'
import { DeleteRecord, UpsertRecord } from './operation.js'
import { type Batch, emptyBatch, parseIds } from './rows.js'
import type { Store } from './store.js'
import { assertStored, enterDelete, logUpsert, noRoom } from './write.js'

/** Ids of a delete that are read and encoded in one piece, and what one takes in values of a vector that are copied, as the queue counts. */
const DELETE_PIECE = 1_024
const ID_VALUES = 64

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
 * @param log - called in the tick in which `rows` become the target's rows, and there is room.
 */
export async function onTarget(
  store: Store,
  target: Target,
  signal: AbortSignal | undefined,
  room: () => Promise<void> | undefined,
  log: (rows: Uint32Array) => Promise<Attempt<Logged>>,
): Promise<Logged> {
  const attempt = async (rows: Uint32Array): Promise<Attempt<Logged>> => {
    const wait = room()
    return wait ? { wait } : log(rows)
  }
  await store.index.vectorsReady()
  for (;;) {
    const outcome = await ('ids' in target ? attempt(store.rowsOfIds(target.ids)) : matched(target.filter))
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

/** @param named - ids by the caller, whether or not they exist yet. */
export async function logUpdate(
  engine: Engine,
  store: Store,
  rows: Uint32Array,
  patch: Uint8Array,
  named: readonly Id[] | undefined,
  signal: AbortSignal | undefined,
): Promise<Attempt<Logged>> {
  const wait = store.inFlight.conflict(named ?? idsOf(store, rows))
  if (wait) return { wait }
  if (rows.length === 0) return { logged: nothing(engine) }
  const { dim } = store.config
  const vectorBytes = 4 * dim * rows.length
  if (vectorBytes > MAX_RECORD_BYTES)
    throw tooLarge('update', `${vectorBytes} bytes of vectors`, MAX_RECORD_BYTES)
  // What is logged stands for itself: at replay the versions before may be gone, as a flush leaves out rows that died.
  const batch = await versionsOf(engine, store, rows, patch, signal)
  const record = new UpsertRecord(store.number, batch, dim)
  assertFits('update', record.bytes)
  const { lsn, done } = await logUpsert(engine, store, record, signal)
  return { logged: { lsn, done: done.then(({ replaced }) => replaced) } }
}

/** In as many turns of the event loop as an upsert of so many values. */
async function versionsOf(
  engine: Engine,
  store: Store,
  rows: Uint32Array,
  patch: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Batch> {
  const steps = store.versions(rows, patch)
  let bytes = 0
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value
    // Before all are made: a filter may match more than there is memory for.
    bytes += step.value.bytes
    if (bytes > MAX_RECORD_BYTES)
      throw tooLarge('update', `${bytes} bytes in the log and more`, MAX_RECORD_BYTES)
    const pause = store.writers.pause(step.value.values)
    if (pause) await pause
    signal?.throwIfAborted()
    assertStored(engine, store)
  }
}

/** Ids are read and encoded in turns of the event loop; what the record does when it is durable is one step. */
export async function logDelete(
  engine: Engine,
  store: Store,
  rows: Uint32Array,
  signal: AbortSignal | undefined,
): Promise<Attempt<Logged>> {
  if (rows.length === 0) return { logged: nothing(engine) }
  const record = new DeleteRecord(store.number)
  for (let first = 0; first < rows.length; first += DELETE_PIECE) {
    const some = rows.subarray(first, first + DELETE_PIECE)
    record.add(idsOf(store, some))
    assertFits('delete', record.bytes)
    const pause = store.writers.pause(some.length * ID_VALUES)
    if (!pause) continue
    await pause
    signal?.throwIfAborted()
    assertStored(engine, store)
  }
  // The rows stay those of the filter: no write of the collection was under way, and those behind wait for this one's turn to end.
  for (let wait = noRoom(engine, store, false, signal); wait; wait = noRoom(engine, store, false, signal)) {
    await wait
  }
  return { logged: enterDelete(engine, store, record) }
}

/** Nothing to change is nothing to log: as durable as everything before. */
function nothing(engine: Engine): Logged {
  return { lsn: engine.journal.durableLsn, done: Promise.resolve(0) }
}

function idsOf(store: Store, rows: Uint32Array): Id[] {
  return Array.from(rows, row => store.index.idAt(row))
}

function assertFits(what: string, bytes: number): void {
  if (bytes > MAX_RECORD_BYTES) throw tooLarge(what, `${bytes} bytes in the log`, MAX_RECORD_BYTES)
}

function tooLarge(what: string, size: string, limit: number): DriftError {
  return new DriftError(
    'DRIFT_BATCH_TOO_LARGE',
    `the ${what} is of ${size}, the limit is ${limit}; narrow its filter and repeat it`,
    { limit },
  )
}
