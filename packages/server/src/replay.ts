/**
 * Records of the log, applied in memory in their order. All are decoded before the first is applied: a malformed one is met before anything
 * counts on the log.
 */
import type { WalRecord } from '@drift/core'
import type { RecoveryLoss } from './log-recovery.js'
import { decodeOperation, type Operation } from './operation.js'
import type { OpenOptions } from './options.js'
import { type Shared, Store } from './store.js'

/** Between two reports of a replay, when other work of the process and a cancellation get their turn. */
const REPLAY_SLICE_BYTES = 8 * 1024 * 1024

export interface LoggedOperation {
  readonly lsn: number
  /** Of its record. */
  readonly bytes: number
  readonly operation: Operation
}

/** @throws DriftError DRIFT_WAL_RECORD. */
export function decodeLog(records: readonly WalRecord[]): LoggedOperation[] {
  return records.map(({ lsn, bytes }) => ({ lsn, bytes: bytes.length, operation: decodeOperation(bytes) }))
}

/** @param flushed - as `flushedUpTo` says. @returns bytes of the log. */
export async function replay(
  stores: Map<number, Store>,
  log: readonly LoggedOperation[],
  flushed: ReadonlyMap<number, number>,
  shared: Shared,
  { signal, onProgress }: OpenOptions,
): Promise<number> {
  const total = log.reduce((sum, { bytes }) => sum + bytes, 0)
  let done = 0
  let reportAt = REPLAY_SLICE_BYTES
  for (const { lsn, bytes, operation } of log) {
    signal?.throwIfAborted()
    if (lsn > (flushed.get(operation.collection) ?? 0)) apply(stores, operation, lsn, shared)
    done += bytes
    if (done < reportAt) continue
    reportAt = done + REPLAY_SLICE_BYTES
    onProgress?.({ stage: 'replay', done, total, unit: 'bytes' })
    await new Promise(resolve => setImmediate(resolve))
  }
  if (total > 0) onProgress?.({ stage: 'replay', done: total, total, unit: 'bytes' })
  return total
}

/** Writes to a collection that no file and no record before them makes, nor one drops later: its creation is gone. */
export function orphans(
  known: Iterable<number>,
  log: readonly LoggedOperation[],
  folder: string,
): RecoveryLoss[] {
  const there = new Set(known)
  // Before the record of its drop a collection may be unknown.
  const dropped = new Set(
    log.flatMap(({ operation: { kind, collection } }) => (kind === 'drop' ? [collection] : [])),
  )
  const losses: RecoveryLoss[] = []
  for (const { lsn, operation } of log) {
    const { kind, collection } = operation
    if (kind === 'create') there.add(collection)
    if (kind === 'drop') there.delete(collection)
    if ((kind !== 'upsert' && kind !== 'delete') || there.has(collection) || dropped.has(collection)) continue
    const reason = `collection ${collection} is unknown: its creation is gone`
    losses.push({ file: folder, offset: 0, kind: 'collection', reason, firstLsn: lsn, lastLsn: lsn })
  }
  return losses
}

function apply(stores: Map<number, Store>, operation: Operation, lsn: number, shared: Shared): void {
  const store = stores.get(operation.collection)
  if (operation.kind === 'lost') return
  if (operation.kind === 'create') {
    if (!store) {
      stores.set(operation.collection, new Store(operation.collection, operation.config, shared))
    }
    return
  }
  // A record of a collection that has been dropped since.
  if (!store) return
  if (operation.kind === 'drop') {
    stores.delete(operation.collection)
    store.close()
  } else if (operation.kind === 'upsert') {
    const { appended, generation } = store.append(operation.batch)
    store.record(generation, lsn)
    store.publish(appended, operation.batch.payloads)
  } else {
    store.record(store.active, lsn)
    store.delete(operation.ids, store.active)
  }
}
