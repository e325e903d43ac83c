/**
 * Opening beside a writer, in this process or another: no lock, not one write, and a state that was the database's at some moment. What
 * is needed is held open first; when the writer has removed some of it by then, the newer manifest is taken instead.
 */

import { join } from 'node:path'
import type { DriftFs } from '@drift/fs'
import { isDamage, loadManifest } from '@drift/storage'
import { isLogDamage, isMissing } from '../check/survey.js'
import { Disk } from '../disk.js'
import type { Engine } from '../engine.js'
import { DriftError } from '../errors.js'
import { isLog, noDatabase, readFormat } from '../folder.js'
import { Janitor } from '../janitor.js'
import { Journal } from '../journal.js'
import { Pace } from '../pace.js'
import type { Executor } from '../persistence/executor.js'
import { inlineExecutor } from '../persistence/executor.js'
import { namesOf, PersistenceManager } from '../persistence/persistence.js'
import type { Read, Replayed, Surroundings } from '../recovery.js'
import type { Store } from '../store.js'
import { HeldFs } from './held-fs.js'

/** Each time the writer has committed twice since, or was just writing what was read. Ten times in a row is something else. */
const MAX_ATTEMPTS = 10

/** @param read - reads manifest, files and log through the disk that it is given. */
export async function openReadOnly(
  around: Surroundings,
  read: (around: Surroundings, stores: Map<number, Store>) => Promise<Engine>,
): Promise<Engine> {
  const { folder } = around
  if (around.fs.stat(folder)?.kind !== 'folder') throw noDatabase(folder)
  for (let attempt = 1; ; attempt++) {
    const fs = new HeldFs(around.fs)
    const stores = new Map<number, Store>()
    try {
      if (readFormat(fs, folder) === undefined) throw noDatabase(folder)
      holdDatabase(fs, folder)
      // Inline, so that everything is read through files that are held.
      return await read({ ...around, fs, executor: inlineExecutor(fs) }, stores)
    } catch (error) {
      for (const store of stores.values()) store.close()
      if (attempt === MAX_ATTEMPTS || !mayHaveMoved(error)) throw error
    } finally {
      fs.letGo()
    }
  }
}

/** Files that the newest manifest names, and the log. */
function holdDatabase(fs: HeldFs, folder: string): void {
  const loaded = loadManifest(fs, folder)
  for (const name of loaded ? namesOf(loaded.manifest) : []) {
    // One that is missing or damaged is met again, and named, when it is read.
    if (fs.stat(join(folder, name))?.kind === 'file') fs.hold(join(folder, name))
  }
  for (const name of fs.list(folder)) if (isLog(name)) fs.hold(join(folder, name))
}

/** What reading a file that its writer changes or removes may look like. */
function mayHaveMoved(error: unknown): boolean {
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

/** @param fs - given to whoever reads a folder that others may write. */
export function heldDatabase(fs: DriftFs, folder: string): HeldFs {
  const held = new HeldFs(fs)
  holdDatabase(held, folder)
  return held
}
