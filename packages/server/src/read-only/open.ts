/**
 * Opening beside a writer, in this process or another: no lock, not one write, and a state that was the database's at some moment. What
 * is needed is held open first; when the writer has removed some of it by then, the newer manifest is taken instead.
 */

import { isDamage } from '@drift/storage'
import { isLogDamage, isMissing } from '../check/survey.js'
import { Disk } from '../disk.js'
import type { Engine } from '../engine.js'
import { DriftError } from '../errors.js'
import { noDatabase, readFormat } from '../folder.js'
import { Janitor } from '../janitor.js'
import { Journal } from '../journal.js'
import { Pace } from '../pace.js'
import type { Executor } from '../persistence/executor.js'
import { inlineExecutor } from '../persistence/executor.js'
import { PersistenceManager } from '../persistence/persistence.js'
import type { Read, Replayed, Surroundings } from '../recovery.js'
import type { Store } from '../store.js'
import { HeldFs } from './held-fs.js'
import { holdDatabase, Looks } from './moment.js'

/** @param read - reads manifest, files and log through the disk that it is given. */
export async function openReadOnly(
  around: Surroundings,
  read: (around: Surroundings, stores: Map<number, Store>) => Promise<Engine>,
): Promise<Engine> {
  const { folder } = around
  if (around.fs.stat(folder)?.kind !== 'folder') throw noDatabase(folder)
  const looks = new Looks(folder)
  for (;;) {
    const fs = new HeldFs(around.fs)
    const stores = new Map<number, Store>()
    try {
      if (readFormat(fs, folder) === undefined) throw noDatabase(folder)
      holdDatabase(fs, folder)
      // Inline, so that everything is read through files that are held.
      return await read({ ...around, fs, executor: inlineExecutor(fs) }, stores)
    } catch (error) {
      for (const store of stores.values()) store.close()
      if (!mayHaveMoved(error) || looks.isDamage(error.message)) throw error
    } finally {
      fs.letGo()
    }
  }
}

/** What reading a file that its writer changes or removes may look like. */
function mayHaveMoved(error: unknown): error is Error {
  return isMissing(error) || isLogDamage(error) || isDamage(error)
}

/** An engine that answers and never writes. Full memtables of the log's rows go to buckets, so that searches are as fast as the writer's. */
export async function readOnlyEngine(
  { fs, folder, pool, now }: Surroundings,
  { loaded, recall, pages }: Read,
  { recovery, nextCollection, lastLsn }: Replayed,
  stores: Map<number, Store>,
): Promise<Engine> {
  for (const store of stores.values()) {
    for (const { memtable } of store.frozen.splice(0)) if (memtable) await store.index.flush(memtable)
  }
  const journal = new Journal()
  journal.startReadOnly(lastLsn)
  return {
    fs,
    folder,
    lock: { release: () => {} },
    journal,
    persistence: new PersistenceManager(folder, refusing, loaded, []),
    pool,
    janitor: new Janitor(),
    pace: new Pace(Number.POSITIVE_INFINITY, now),
    disk: new Disk({ fs, folder, executor: refusing, minFreeBytes: 0, now }),
    recall,
    pages,
    recovery,
    stores,
    durable: false,
    readOnly: true,
    nextCollection,
    closed: false,
  }
}

const refusing: Executor = {
  isThread: false,
  start: () => {},
  run: () => Promise.reject(new DriftError('DRIFT_READ_ONLY', 'the database is open read-only')),
  close: () => Promise.resolve(),
}
