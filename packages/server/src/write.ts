/**
 * The ways of an upsert and of a delete by id into the log: in turn with the other writers, when there is room, a large batch piece by
 * piece. What is written to memory and to the log is so in one tick, so that both have one order; the last piece comes after the
 * log, which writes while this thread fills it in.
 */
import { PIECE_VALUES, type Staging } from '@drift/core'
import { assertUnfailed, type Engine } from './engine.js'
import { hasRoom, waitForRoom } from './janitor.js'
import type { DeleteRecord, UpsertRecord } from './operation.js'
import type { Taken } from './payload-index/payload-indexes.js'
import { assertPresent, type Store, type Written } from './store.js'

export interface Logged<T> {
  readonly lsn: number
  /** Resolves when the write is durable and visible. */
  readonly done: Promise<T>
}

/** Of payloads that are decoded in one piece, some 20 microseconds; and of a batch's, which are so as it is published when they are no more. */
const DECODED_BYTES = 16_384
const AT_ONCE_BYTES = 131_072

/** The caller's memory is read in this tick, or copied in it. */
export async function writeUpsert(
  engine: Engine,
  store: Store,
  record: UpsertRecord,
  signal: AbortSignal | undefined,
): Promise<Logged<Written> & { readonly upserted: number }> {
  const { writers } = store
  const turn = writers.enter(signal)
  if (turn) await record.keptFor(turn)
  try {
    return await logUpsert(engine, store, record, signal)
  } finally {
    writers.leave()
  }
}

/** `writeUpsert` for who has the turn, and keeps it until this is over. */
export async function logUpsert(
  engine: Engine,
  store: Store,
  record: UpsertRecord,
  signal: AbortSignal | undefined,
): Promise<Logged<Written> & { readonly upserted: number }> {
  const { index, writers } = store
  let staging: Staging | undefined
  try {
    // Where there is none, those who stand behind are told without a turn each.
    for (let wait = noRoom(engine, store, true, signal); wait; wait = noRoom(engine, store, true, signal)) {
      await record.keptFor(wait)
    }
    const isLarge = store.indexes.count > 0 && record.payloadBytes > AT_ONCE_BYTES
    const taken = isLarge ? await takenBy(engine, store, record, signal) : undefined
    const values = record.vectors.length
    const pause = writers.pause(Math.min(values, PIECE_VALUES))
    if (pause) await record.keptFor(pause)
    for (let wait = noRoom(engine, store, true, signal); wait; wait = noRoom(engine, store, true, signal)) {
      await record.keptFor(wait)
    }
    if (values > PIECE_VALUES) record.keep()
    staging = index.stage(record.ids, record.vectors, record.isPrepared)
    while (staging.leftValues > staging.nextValues) {
      staging.fill()
      const pause = writers.pause(staging.nextValues)
      if (pause) await pause
      assertStored(engine, store)
    }
    // Of one piece, there is room as there was above: what is staged in the caller's memory does not wait.
    for (let wait = noRoom(engine, store, true, signal); wait; wait = noRoom(engine, store, true, signal)) {
      await wait
    }
    const entered = staging
    const { appended, generation } = store.enter(staging)
    staging = undefined
    const leave = store.inFlight.enter(appended.ids)
    const { payloads } = record
    const logged = engine.journal.log(record, {
      apply() {
        leave()
        return store.publish(appended, payloads, taken)
      },
      abandon() {
        leave()
        index.abandon(appended)
      },
    })
    // While the log writes it.
    entered.finish()
    store.record(generation, logged.lsn)
    return { ...logged, upserted: appended.rows.length }
  } finally {
    if (staging) index.leave(staging)
  }
}

/** What the payload indexes take in of the batch, read in turns of the event loop: publishing it is one step. */
async function takenBy(
  engine: Engine,
  store: Store,
  record: UpsertRecord,
  signal: AbortSignal | undefined,
): Promise<readonly Taken[]> {
  const { indexes, writers } = store
  const reading = indexes.read(record.payloads ?? [])
  let bytes = 0
  for (let step = reading.next(); ; step = reading.next()) {
    if (step.done) return step.value
    bytes += step.value
    if (bytes < DECODED_BYTES) continue
    const pause = writers.pause(bytes)
    bytes = 0
    if (!pause) continue
    await record.keptFor(pause)
    signal?.throwIfAborted()
    assertStored(engine, store)
  }
}

export async function writeDelete(
  engine: Engine,
  store: Store,
  record: DeleteRecord,
  signal: AbortSignal | undefined,
): Promise<Logged<number>> {
  const { writers } = store
  const turn = writers.enter(signal)
  if (turn) await turn
  try {
    for (let wait = noRoom(engine, store, false, signal); wait; wait = noRoom(engine, store, false, signal)) {
      await wait
    }
    return enterDelete(engine, store, record)
  } finally {
    writers.leave()
  }
}

/** For who has the turn, and there is room. */
export function enterDelete(engine: Engine, store: Store, record: DeleteRecord): Logged<number> {
  const { ids } = record
  const generation = store.active
  const leave = store.inFlight.enter(ids)
  const logged = engine.journal.log(record, {
    apply() {
      leave()
      return store.delete(ids, generation)
    },
    abandon: leave,
  })
  store.record(generation, logged.lsn)
  return logged
}

/**
 * Undefined when there is room for a write in this tick, else what to wait for before asking again: others were waiting too.
 *
 * @param grows - the write makes the database larger.
 */
export function noRoom(
  engine: Engine,
  store: Store,
  grows: boolean,
  signal: AbortSignal | undefined,
): Promise<void> | undefined {
  signal?.throwIfAborted()
  assertStored(engine, store)
  engine.disk.assertRoom(grows)
  return hasRoom(engine, store) ? undefined : waitForRoom(engine, store, signal)
}

/** @throws what keeps writes out, which may have happened during a wait; DriftError DRIFT_DROPPED. */
export function assertStored(engine: Engine, store: Store): void {
  assertUnfailed(engine)
  assertPresent(store)
}
