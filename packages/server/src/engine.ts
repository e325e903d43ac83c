/**
 * What an open database is made of, and the two things that every part asks of it: whether it can still be written, and what a commit
 * says of it.
 */
import type { IndexPool } from '@drift/core'
import type { DriftFs, FileLock } from '@drift/fs'
import type { PageCache } from '@drift/storage'
import type { Disk } from './disk.js'
import { closedError, DriftError } from './errors.js'
import type { Janitor } from './janitor.js'
import type { Journal } from './journal.js'
import type { RecoveryReport } from './log-recovery.js'
import type { Pace } from './pace.js'
import type { Edit, PersistenceManager } from './persistence/persistence.js'
import type { ShadowRecall } from './shadow.js'
import type { Generation, Store } from './store.js'

export interface Engine {
  readonly fs: DriftFs
  readonly folder: string
  readonly lock: FileLock
  readonly journal: Journal
  readonly persistence: PersistenceManager
  readonly pool: IndexPool | undefined
  readonly janitor: Janitor
  readonly pace: Pace
  readonly disk: Disk
  readonly recall: ShadowRecall
  /** Of vectors that are only in segments. */
  readonly pages: PageCache
  /** What opening found. */
  readonly recovery: RecoveryReport
  /** By collection number, creation order. */
  readonly stores: Map<number, Store>
  /** False for `:memory:`: nothing outlives the process. */
  readonly durable: boolean
  /** Opened beside a writer: nothing is ever written, and there is no log to write to. */
  readonly readOnly: boolean
  nextCollection: number
  /** Nothing may be called for any more. Writes that were called for before are still carried out. */
  closed: boolean
}

/** @throws DriftError DRIFT_CLOSED after close. */
export function assertOpen(engine: Engine): void {
  if (engine.closed) throw closedError()
}

/** @throws the error that ended writing through this handle, if there is one. Reads go on. */
export function assertWritable(engine: Engine): void {
  assertOpen(engine)
  assertUnfailed(engine)
}

/** `assertWritable` for a write that has been called for: closing waits for it. */
export function assertUnfailed(engine: Engine): void {
  if (engine.readOnly) throw new DriftError('DRIFT_READ_ONLY', 'the database is open read-only')
  const failed = engine.journal.failed ?? engine.persistence.failed
  if (failed) throw failed
}

/**
 * What every commit says, of now: from where on the log is needed, up to where it is durable, and which collections there are.
 *
 * @param except - its records are in files once this is committed.
 */
export function currentState(
  engine: Engine,
  except?: Generation,
): Pick<Edit, 'floorLsn' | 'durableLsn' | 'collections'> {
  const stores = [...engine.stores.values()]
  return {
    floorLsn: floorLsn(engine, except),
    durableLsn: engine.journal.durableLsn,
    collections: stores.map(({ number, config }) => ({ number, config })),
  }
}

function floorLsn({ journal, stores }: Engine, except: Generation | undefined): number {
  // Of a record that is on its way nothing is known here yet: a collection that it makes is not among those that are listed.
  let floor = journal.durableLsn + 1
  for (const store of stores.values()) floor = Math.min(floor, store.unflushedFrom(except) ?? floor)
  return floor
}
