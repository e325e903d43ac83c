/**
 * One collection's state: the index, the payloads, and the generations of writes that are not yet in segments. A
 * generation is a memtable with the contiguous range of log records that made it; it is written, committed and dropped as a whole.
 */
import { type Appended, type Id, type IndexPool, type Memtable, type Staging, VectorIndex } from '@drift/core'
import type { DriftFs } from '@drift/fs'
import { type Origins, type PageCache, type SegmentEntry, SegmentReader } from '@drift/storage'
import { DriftError } from './errors.js'
import { RecentMatches } from './filter/recent.js'
import { InFlight } from './in-flight.js'
import { patched } from './merge-patch.js'
import type { CollectionConfig } from './operation.js'
import { PayloadIndexes, type Taken } from './payload-index/payload-indexes.js'
import { PayloadStore } from './payload-store.js'
import { type Batch, decodePayload } from './rows.js'
import { ScanOrder } from './scan/order.js'
import { WriteQueue } from './write-queue.js'

export interface Generation {
  /** Undefined when it was frozen with deletions only. */
  memtable: Memtable | undefined
  /** First and last record; lsnLow is 0 while there is none. */
  lsnLow: number
  lsnHigh: number
  /** Ids deleted by these records, of each its own: they may live in an older segment. */
  readonly deleted: (readonly Id[])[]
  /** A manifest names its files: only its rows' way into the buckets is left. */
  committed: boolean
}

/** A segment as the running collection sees it: `rows[i]` held the segment's row i when it was written or loaded. */
export interface LiveSegment {
  readonly entry: SegmentEntry
  readonly reader: SegmentReader
  readonly rows: Uint32Array
  /** Where the rows were before they were brought together here, in segments that the index file knows. */
  origins?: Origins | undefined
}

export interface Written {
  readonly replaced: number
}

/** Of new versions, as the queue of writers counts them and as they are in the log, but for their ids. */
export interface Piece {
  readonly values: number
  readonly bytes: number
}

/** What the collections of a database share. */
export interface Shared {
  readonly pool: IndexPool | undefined
  /** Share of the queries whose recall is measured. */
  readonly shadow: number
  /** Of vectors that are read from segments. */
  readonly pages: PageCache
}

/** Of new versions that are made in one piece: some 130 microseconds, or what one row takes. */
const VERSIONS_VALUES = 16_384
/** To merge a patch into a payload takes as long as to copy so many values, some 4 microseconds, and one more for each of its bytes. */
const PATCH_VALUES = 512

export class Store {
  readonly number: number
  config: CollectionConfig
  readonly index: VectorIndex
  readonly payloads: PayloadStore = new PayloadStore()
  /** Derived from the payloads of live rows. */
  readonly indexes: PayloadIndexes
  readonly order: ScanOrder = new ScanOrder()
  readonly recentMatches: RecentMatches = new RecentMatches()
  readonly inFlight: InFlight = new InFlight()
  readonly writers: WriteQueue = new WriteQueue()
  readonly segments: LiveSegment[] = []
  readonly #retired: Set<SegmentReader> = new Set()
  #active: Generation
  readonly frozen: Generation[] = []
  dropped = false
  /** Rows when the index was last written. */
  checkpointRows = 0
  /** Calibrations of the index that were in it. */
  checkpointCalibrations = 0
  /** Uuids of the segments whose rows the newest index file knows. */
  covered: ReadonlySet<string> = new Set()
  readonly #pages: PageCache | undefined
  #files: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #isClosed = false

  constructor(number: number, config: CollectionConfig, { pool, shadow, pages }: Shared) {
    this.number = number
    this.config = config
    const { dim, metric, memtableRows, cold, quantizer } = config
    this.#pages = cold === 'disk' ? pages : undefined
    const source = {
      read: (rows: Uint32Array, out: Float32Array) => this.payloads.readVectors(rows, dim, out),
    }
    this.indexes = new PayloadIndexes(config.indexes)
    this.index = new VectorIndex({
      dim,
      metric,
      ...(memtableRows === undefined ? {} : { memtableRows }),
      ...(cold === 'disk' ? { vectors: source } : {}),
      ...(quantizer === undefined ? {} : { quantizer }),
      ...(pool ? { pool } : {}),
      ...(shadow > 0 ? { shadow: { share: shadow, random: Math.random } } : {}),
    })
    this.#active = this.#newGeneration()
  }

  get active(): Generation {
    return this.#active
  }

  /** The next batch goes to a new generation. */
  get isFull(): boolean {
    return this.index.activeMemtable.isFull
  }

  /** Of a row. Functions that stay: flushes call them for every row, and what comes and goes is compiled again and again. */
  readonly idAt = (row: number): Id => this.index.idAt(row)
  readonly payloadOf = (row: number): Uint8Array | undefined => this.payloads.read(row)

  /** Live rows of a generation, in the order of the log. */
  rowsOf({ memtable }: Generation): Uint32Array {
    return memtable ? this.index.liveRows(memtable) : new Uint32Array()
  }

  /** Records at or above this are only in the log; undefined when every record is in files. `except` is about to be committed. */
  unflushedFrom(except?: Generation): number | undefined {
    for (const generation of [...this.frozen, this.#active]) {
      if (generation !== except && generation.lsnLow > 0) return generation.lsnLow
    }
    return undefined
  }

  /** Put a batch into the memtable, not yet visible; freezes a full one first. */
  append(batch: Batch): { appended: Appended; generation: Generation } {
    if (this.isFull) this.freeze()
    const { ids, vectors, isPrepared } = batch
    const appended = isPrepared ? this.index.appendPrepared(ids, vectors) : this.index.append(ids, vectors)
    return { appended, generation: this.#active }
  }

  /** `append` for a batch that is staged in the index. */
  enter(staging: Staging): { appended: Appended; generation: Generation } {
    if (this.isFull) this.freeze()
    return { appended: this.index.enter(staging), generation: this.#active }
  }

  /** The batch is durable: show it. @param taken - of each payload, by `indexes.read`. */
  publish(appended: Appended, payloads: Batch['payloads'], taken?: readonly Taken[]): Written {
    for (let i = 0; i < appended.rows.length; i++) {
      const row = appended.rows[i]!
      const position = appended.positions[i]!
      const payload = payloads?.[position]
      this.payloads.put(row, payload)
      this.indexes.put(row, payload, taken?.[position])
      this.order.forget(row)
    }
    return { replaced: this.index.publish(appended) }
  }

  /**
   * New versions of these live rows, with the patch (JSON text) merged into their payloads. After each piece it yields what that took; the
   * rows live on until it ends.
   *
   * @throws DriftError DRIFT_PAYLOAD_TOO_LARGE.
   */
  *versions(rows: Uint32Array, patch: Uint8Array): Generator<Piece, Batch> {
    const { index } = this
    const { dim } = this.config
    const changes = decodePayload(patch)
    const ids = new Array<Id>(rows.length)
    const payloads = new Array<Uint8Array>(rows.length)
    const vectors = new Float32Array(rows.length * dim)
    for (let first = 0, end = 0; first < rows.length; first = end) {
      let values = 0
      let bytes = 0
      for (; end < rows.length && values < VERSIONS_VALUES; end++) {
        const row = rows[end]!
        const id = index.idAt(row)
        const payload = this.payloads.read(row)
        const version = patched(id, payload, changes)
        ids[end] = id
        payloads[end] = version
        values += dim + PATCH_VALUES + (payload?.length ?? 0)
        bytes += 4 * dim + version.length
      }
      vectors.set(index.readVectors(rows.subarray(first, end)), first * dim)
      yield { values, bytes }
    }
    return { ids, vectors, payloads, isPrepared: true, isOurs: true }
  }

  /** The rows of the ids that there are, each once. */
  rowsOfIds(ids: readonly Id[]): Uint32Array {
    const rows = new Set(ids.map(id => this.index.find(id)))
    rows.delete(-1)
    return Uint32Array.from(rows)
  }

  /** @param ids - not changed from now on. */
  delete(ids: readonly Id[], generation: Generation): number {
    generation.deleted.push(ids)
    return this.index.delete(ids)
  }

  /** Name the record that a generation has just taken part in. */
  record(generation: Generation, lsn: number): void {
    if (generation.lsnLow === 0) generation.lsnLow = lsn
    generation.lsnHigh = lsn
  }

  openSegment(fs: DriftFs, folder: string, entry: SegmentEntry): SegmentReader {
    return SegmentReader.open(fs, folder, entry, this.#pages ? { pages: this.#pages } : {})
  }

  /** These rows are now in the segment, in this order; NO_ROW is nobody's. */
  moveToSegment({ rows, reader }: LiveSegment): void {
    this.payloads.moveToSegment(rows, reader)
  }

  /** These segments are no longer the collection's. Their readers stay open for whoever began to read before now, or until `close`. */
  retire(segments: readonly LiveSegment[]): void {
    const free = (isAside: boolean): void => {
      for (const { reader } of segments) {
        this.#retired.delete(reader)
        this.payloads.release(reader)
        reader.close(isAside)
      }
    }
    for (const { reader } of segments) this.#retired.add(reader)
    if (this.#isClosed) free(false)
    else this.index.whenUnpinned(() => free(true))
  }

  /** Bytes that say where rows are, by row and by segment. */
  get placeBytes(): number {
    return this.segments.reduce((sum, { rows }) => sum + rows.byteLength, this.payloads.placeBytes)
  }

  /** Start a new generation; the old one waits to be flushed. @returns false when there is nothing to flush. */
  freeze(): boolean {
    if (this.#active.lsnLow === 0) return false
    this.#active.memtable = this.index.rotate()
    this.frozen.push(this.#active)
    this.#active = this.#newGeneration()
    return true
  }

  /** Work that replaces files or says what they hold runs one at a time. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#files.then(work)
    this.#waiting++
    this.#files = result.then(
      () => this.#waiting--,
      () => this.#waiting--,
    )
    return result
  }

  /** Such work is under way. */
  get isBusy(): boolean {
    return this.#waiting > 0
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  close(): void {
    this.#isClosed = true
    // What still reads a dropped collection is told what became of it.
    this.index.close(this.dropped ? () => dropped(this.config) : undefined)
    for (const { reader } of this.segments) reader.close()
    for (const reader of this.#retired) reader.close()
  }

  #newGeneration(): Generation {
    return {
      memtable: this.index.activeMemtable,
      lsnLow: 0,
      lsnHigh: 0,
      deleted: [],
      committed: false,
    }
  }
}

/** @throws DriftError DRIFT_DROPPED. */
export function assertPresent(store: Store): void {
  if (store.dropped) throw dropped(store.config)
}

function dropped({ name }: CollectionConfig): DriftError {
  return new DriftError('DRIFT_DROPPED', `collection '${name}' has been dropped`, { name })
}
