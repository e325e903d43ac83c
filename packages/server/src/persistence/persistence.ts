/**
 * PersistenceManager: the one writer of the database's files. Everything changes in one shape: write new files, then
 * commit a manifest that names them. Commits are serialised; the files of the last two manifests are kept, so that a
 * damaged newest manifest can be replaced by the one before (docs/adr/0005).
 */
import { randomBytes } from 'node:crypto'
import type { CheckpointEntry, CollectionEntry, Manifest, SegmentEntry, TombstoneEntry } from '@drift/storage'
import { isRepeatable } from '../disk.js'
import { closedError, DriftError } from '../errors.js'
import { checkpointName, fileNumber, segmentName, tombstoneName } from '../folder.js'
import type { CollectionConfig } from '../operation.js'
import type { CompactResult, CompactTask } from './compact.js'
import type { Executor } from './executor.js'
import {
  type CheckpointTask,
  pathsIn,
  type SegmentTask,
  type Task,
  type TaskResults,
  type TombstoneTask,
} from './tasks.js'

/** What a commit changes; the rest is carried over. */
export interface Edit {
  /** Every record below it is in the files that this manifest names. */
  readonly floorLsn: number
  readonly durableLsn: number
  /** Of the log, once it has been begun. */
  readonly logFile?: number
  /** The collections there are; one not listed is dropped, a new one is added empty. */
  readonly collections: readonly CatalogEntry[]
  /** New files of one collection. */
  readonly change?: (entry: CollectionEntry) => CollectionEntry
  readonly changed?: number
  /** Index files are named no more: they know of writes that the log has lost. */
  readonly withoutCheckpoints?: boolean
}

interface CatalogEntry {
  readonly number: number
  readonly config: CollectionConfig
}

/** A manifest as it was loaded: `crc` is its checksum, `nextNumber` is above every manifest in the folder. */
export interface Loaded {
  readonly manifest: Manifest
  readonly crc: number
  readonly nextNumber: number
}

/** A moment whose files stay. */
export interface Hold {
  readonly manifest: Manifest
  release(): void
}

/** The caller's part of a task; the manager adds where, when and under which name. */
type Contents<T> = Omit<T, 'kind' | 'folder' | 'name' | 'uuid' | 'createdMs'>

export class PersistenceManager {
  readonly #folder: string
  readonly #executor: Executor
  #manifest: Manifest
  /** Floor of the manifest before the current one: the log is kept from there. */
  #previousFloor: number
  #previousNames: ReadonlySet<string>
  #nextFile: number
  #nextNumber: number
  #previousCrc: number
  #commits: Promise<unknown> = Promise.resolve()
  #failed: DriftError | undefined
  #closing = false
  readonly #holds = new Set<{ readonly floor: number }>()
  /** Garbage that is held. */
  readonly #withheld: string[] = []
  #syncLog: (() => Promise<void>) | undefined

  /** @param present - files of ours in the folder: what the manifest does not name goes when the next but one is committed. */
  constructor(folder: string, executor: Executor, loaded: Loaded, present: readonly string[]) {
    const { manifest } = loaded
    this.#folder = folder
    this.#executor = executor
    this.#manifest = manifest
    this.#previousFloor = manifest.floorLsn
    this.#previousNames = new Set(present)
    this.#nextFile = Math.max(manifest.nextFile, ...present.map(name => fileNumber(name) + 1))
    this.#nextNumber = loaded.nextNumber
    this.#previousCrc = loaded.crc
  }

  get manifest(): Manifest {
    return this.#manifest
  }

  /** Set when a commit ended without a known outcome: nothing more is written through this handle. */
  get failed(): DriftError | undefined {
    return this.#failed
  }

  /** The log may drop records below this: both kept manifests have them in files. */
  get logFloor(): number {
    return Math.min(this.#previousFloor, ...[...this.#holds].map(hold => hold.floor))
  }

  /**
   * Keep every file of the current manifest and of the one before, and the log from their floor on, until `release`: for who reads
   * files while commits go on.
   */
  hold(): Hold {
    const hold = { floor: this.#previousFloor }
    this.#holds.add(hold)
    return {
      manifest: this.#manifest,
      release: () => {
        this.#holds.delete(hold)
        void this.#remove([])
      },
    }
  }

  writeSegment(task: Contents<SegmentTask>): Promise<SegmentEntry> {
    return this.#run({ kind: 'segment', ...this.#newFile(segmentName), createdMs: createdMs(), ...task })
  }

  writeTombstones(task: Contents<TombstoneTask>): Promise<TombstoneEntry> {
    return this.#run({ kind: 'tombstones', ...this.#newFile(tombstoneName), ...task })
  }

  writeCheckpoint(task: Contents<CheckpointTask>): Promise<CheckpointEntry> {
    return this.#run({ kind: 'checkpoint', ...this.#newFile(checkpointName), ...task })
  }

  compact(
    task: Omit<Contents<CompactTask>, 'newTombstones'> & Pick<CompactTask, 'tombstones'>,
  ): Promise<CompactResult> {
    const newTombstones = task.tombstones.map(() => {
      const { name, uuid } = this.#newFile(tombstoneName)
      return { name, uuid }
    })
    const file = this.#newFile(segmentName)
    const rests = task.rests && this.#executor.isThread
    return this.#run({ kind: 'compact', ...file, createdMs: createdMs(), ...task, newTombstones, rests })
  }

  /** Files that no manifest names: they go, unless a commit that failed may have named them. What cannot go now goes at the next opening. */
  async discard(names: readonly string[]): Promise<void> {
    if (this.#failed) return
    await this.#run({ kind: 'remove', paths: pathsIn(this.#folder, names) }).catch(() => undefined)
  }

  /**
   * From now on the log is synced before each commit: a manifest says which records are durable, and files may hold rows of records that
   * an acknowledgement did not wait for. Without it power loss would leave files that are ahead of the log.
   */
  syncFirst(syncLog: () => Promise<void>): void {
    this.#syncLog = syncLog
  }

  /**
   * Durable when it resolves. `edit` is called when the commit's turn has come, on the state of that moment.
   *
   * @returns false when the collection that is `changed` has been dropped by then: no manifest names its new files.
   */
  commit(edit: () => Edit): Promise<boolean> {
    if (this.#closing) return Promise.reject(closedError())
    const done = this.#commits.then(async () => {
      const asked = edit()
      await this.#syncLog?.()
      await this.#commit(asked)
      return asked.changed === undefined || asked.collections.some(({ number }) => number === asked.changed)
    })
    this.#commits = done.catch(() => undefined)
    return done
  }

  /** Commits that were asked for end first; what is asked for from now on, or did not get as far as its commit, is told DRIFT_CLOSED. */
  async close(): Promise<void> {
    this.#closing = true
    await this.#commits
    // Who still reads those of an earlier moment is told that the database is closed before the next look.
    this.#holds.clear()
    await this.#remove([])
    await this.#executor.close()
  }

  async #commit(edit: Edit): Promise<void> {
    if (this.#failed) throw this.#failed
    const next = applyEdit(this.#manifest, edit, this.#nextNumber, this.#nextFile)
    try {
      this.#previousCrc = await this.#executor.run({
        kind: 'manifest',
        folder: this.#folder,
        manifest: next,
        previousCrc: this.#previousCrc,
      })
    } catch (cause) {
      // Nothing has been named yet, so the manifest before it stands.
      if (isRepeatable(cause)) throw cause
      this.#failed = new DriftError(
        'DRIFT_COMMIT_FAILED',
        `manifest ${next.number} could not be committed (${(cause as Error).message}); close and reopen the database`,
        { manifest: next.number },
        { cause },
      )
      throw this.#failed
    }
    const kept = new Set([...namesOf(this.#manifest), ...namesOf(next)])
    const garbage = [...this.#previousNames].filter(name => !kept.has(name))
    this.#previousNames = namesOf(this.#manifest)
    this.#previousFloor = this.#manifest.floorLsn
    this.#manifest = next
    this.#nextNumber = next.number + 1
    await this.#remove(garbage)
  }

  async #run<T extends Task>(task: T): Promise<TaskResults[T['kind']]> {
    if (this.#closing) throw closedError()
    try {
      return await this.#executor.run(task)
    } catch (cause) {
      throw this.#closing ? closedError() : cause
    }
  }

  /** Garbage waits while files are held. What cannot be removed now is removed when the database is opened next. */
  async #remove(garbage: readonly string[]): Promise<void> {
    this.#withheld.push(...garbage)
    if (this.#holds.size > 0 || this.#withheld.length === 0) return
    const paths = pathsIn(this.#folder, this.#withheld.splice(0))
    await this.#executor.run({ kind: 'remove', paths }).catch(() => undefined)
  }

  #newFile(name: (file: number) => string): { folder: string; name: string; uuid: string } {
    return { folder: this.#folder, name: name(this.#nextFile++), uuid: randomBytes(16).toString('hex') }
  }
}

/** For people, who may have set the clock to before 1970. */
function createdMs(): number {
  return Math.max(0, Date.now())
}

/** Names of all files that a manifest lists. */
export function namesOf(manifest: Manifest): ReadonlySet<string> {
  const names = new Set<string>()
  for (const { segments, tombstones, checkpoint } of manifest.collections) {
    for (const file of segments) names.add(file.name)
    for (const file of tombstones) names.add(file.name)
    if (checkpoint) names.add(checkpoint.name)
  }
  return names
}

function applyEdit(manifest: Manifest, edit: Edit, number: number, nextFile: number): Manifest {
  const old = new Map(manifest.collections.map(entry => [entry.number, entry]))
  const collections = edit.collections.map(collection => {
    const known = old.get(collection.number)
    const entry = known
      ? { ...known, options: optionsOf(collection.config, known.options) }
      : emptyEntry(collection.number, collection.config)
    const { checkpoint: _, ...rest } = entry
    const kept = edit.withoutCheckpoints ? rest : entry
    return collection.number === edit.changed && edit.change ? edit.change(kept) : kept
  })
  const nextCollection = Math.max(manifest.nextCollection, ...collections.map(entry => entry.number + 1))
  return {
    ...manifest,
    number,
    // What is in files stays there. An edit may not know yet of a flush that was committed just before it.
    floorLsn: Math.max(manifest.floorLsn, edit.floorLsn),
    durableLsn: edit.durableLsn,
    nextCollection,
    nextFile,
    ...(edit.logFile === undefined ? {} : { logFile: edit.logFile }),
    collections,
  }
}

function emptyEntry(number: number, config: CollectionConfig): CollectionEntry {
  const { name, dim, metric } = config
  return {
    number,
    name,
    dim,
    metric,
    options: optionsOf(config, {}),
    segments: [],
    tombstones: [],
  }
}

/** As the manifest holds them: scalars. Options that this release does not know are carried over. */
function optionsOf(
  { memtableRows, cold, quantizer, indexes }: CollectionConfig,
  known: CollectionEntry['options'],
): CollectionEntry['options'] {
  const { indexes: _, ...others } = known
  return {
    ...others,
    ...(memtableRows === undefined ? {} : { memtableRows }),
    ...(cold === undefined ? {} : { cold }),
    ...(quantizer === undefined ? {} : { quantizer }),
    ...(indexes === undefined || Object.keys(indexes).length === 0
      ? {}
      : { indexes: JSON.stringify(indexes) }),
  }
}
