/**
 * One compaction, on the thread that writes files: the rows of neighbouring segments that still count become one segment, and ids go
 * from tombstone files that hide nothing any more. Reads truth from the files, every page checked; memory holds ids, payloads and one
 * run of vectors. Which segment may hold an id is asked of the segments' filters first: ids are read only where one says maybe.
 */
import type { DriftFs } from '@drift/fs'
import {
  NO_ROW,
  type Origins,
  readTombstones,
  type SegmentEntry,
  SegmentReader,
  type TombstoneEntry,
  writeSegment,
  writeTombstones,
} from '@drift/storage'
import { DriftError } from '../errors.js'
import { type Packed, unpack } from './packed.js'

export interface CompactTask {
  readonly kind: 'compact'
  readonly folder: string
  readonly name: string
  readonly uuid: string
  readonly createdMs: number
  readonly dim: number
  readonly metric: 'l2' | 'cosine' | 'ip'
  readonly quantizer: Uint8Array
  /** Neighbours, oldest first. */
  readonly inputs: readonly CompactInput[]
  /** The other segments, in the order of the log. */
  readonly others: readonly SegmentEntry[]
  readonly tombstones: readonly TombstoneEntry[]
  /** Name and uuid for a tombstone file that is written anew, one for each. */
  readonly newTombstones: readonly { readonly name: string; readonly uuid: string }[]
  /**
   * Ids that writes since have replaced or deleted which are only in the log: such a deletion must not be in the files yet. None where every
   * row of the inputs counts.
   */
  readonly pending: Packed
  /** Shared: set to 1, the compaction ends with DRIFT_ABORTED. */
  readonly stop: Int32Array
  /** Pause as long as it works, so that half of the disk and of the core is left to others. */
  readonly rests: boolean
}

interface CompactInput {
  readonly entry: SegmentEntry
  /** 1 for each row that counts. */
  readonly live: Uint8Array
  /** How the index file knows the rows; undefined: it does not. */
  readonly origins: Origins | undefined
}

export interface CompactResult {
  /** Undefined when no row was left. */
  readonly segment: SegmentEntry | undefined
  /** Two per row: position in `inputs`, and row there. */
  readonly sources: Uint32Array
  /** In place of each of `tombstones`; undefined: it is needed no more. */
  readonly tombstones: readonly (TombstoneEntry | undefined)[]
}

interface Source {
  readonly entry: SegmentEntry
  readonly reader: SegmentReader
  readonly ids: readonly Uint8Array[]
}

const READ_ROWS = 512
const REST_EVERY_MS = 20

export function compact(fs: DriftFs, task: CompactTask): CompactResult {
  const readers: SegmentReader[] = []
  const open = (entry: SegmentEntry): SegmentReader => {
    const reader = SegmentReader.open(fs, task.folder, entry)
    readers.push(reader)
    return reader
  }
  try {
    const inputs = task.inputs.map(({ entry }): Source => {
      const reader = open(entry)
      return { entry, reader, ids: reader.ids() }
    })
    const files = new Membership(
      inputs,
      task.others.map(entry => ({ entry, reader: open(entry) })),
    )
    const deleted = task.tombstones.map(entry => readTombstones(fs, task.folder, entry))
    const kept = rowsToKeep(task, inputs, files, deleted)
    const segment = writeKept(fs, task, inputs, kept)
    const range = segment && deleted.length > 0 ? { entry: segment, ids: keysOf(kept, inputs) } : undefined
    const tombstones = task.tombstones.map((entry, i) =>
      shrink(fs, task, entry, deleted[i]!, task.newTombstones[i]!, id => files.hasBefore(id, entry, range)),
    )
    return { segment, sources: kept, tombstones }
  } finally {
    for (const reader of readers) reader.close()
  }
}

/** Which files hold an id. */
class Membership {
  readonly #inputs: readonly Source[]
  readonly #others: readonly { readonly entry: SegmentEntry; readonly reader: SegmentReader }[]
  readonly #keys = new Map<SegmentReader, ReadonlySet<string>>()

  constructor(
    inputs: readonly Source[],
    others: readonly { readonly entry: SegmentEntry; readonly reader: SegmentReader }[],
  ) {
    this.#inputs = inputs
    this.#others = others
  }

  /** A segment after this one holds the id. */
  hasAfter(id: Uint8Array, { lsnHigh }: SegmentEntry): boolean {
    return [...this.#inputs, ...this.#others].some(
      ({ entry, reader }) => entry.lsnHigh > lsnHigh && this.#has(reader, id),
    )
  }

  /** A segment before the tombstone file holds the id, when `written` stands for the inputs. */
  hasBefore(
    id: Uint8Array,
    { lsnHigh }: TombstoneEntry,
    written: { readonly entry: SegmentEntry; readonly ids: ReadonlySet<string> } | undefined,
  ): boolean {
    if (written && written.entry.lsnHigh < lsnHigh && written.ids.has(keyOf(id))) return true
    return this.#others.some(({ entry, reader }) => entry.lsnHigh < lsnHigh && this.#has(reader, id))
  }

  #has(reader: SegmentReader, id: Uint8Array): boolean {
    if (!reader.mightContain(id)) return false
    let keys = this.#keys.get(reader)
    if (!keys) {
      keys = new Set(reader.ids().map(keyOf))
      this.#keys.set(reader, keys)
    }
    return keys.has(keyOf(id))
  }
}

/**
 * Rows that count, and rows whose end is only in the log: a row may go only when a file says what became of its id.
 *
 * @returns two numbers per row, as `CompactResult.sources`.
 */
function rowsToKeep(
  task: CompactTask,
  inputs: readonly Source[],
  files: Membership,
  deleted: readonly (readonly Uint8Array[])[],
): Uint32Array {
  const pending = new Set(unpack(task.pending).map(id => keyOf(id!)))
  const keys = deleted.map(ids => new Set(ids.map(keyOf)))
  const endedByFile = (id: Uint8Array, entry: SegmentEntry): boolean =>
    task.tombstones.some(({ lsnHigh }, i) => lsnHigh > entry.lsnHigh && keys[i]!.has(keyOf(id))) ||
    files.hasAfter(id, entry)
  const kept: number[] = []
  for (const [number, { entry, ids }] of inputs.entries()) {
    const { live } = task.inputs[number]!
    for (let row = 0; row < ids.length; row++) {
      const id = ids[row]!
      if (live[row] === 0 && (!pending.has(keyOf(id)) || endedByFile(id, entry))) continue
      kept.push(number, row)
    }
  }
  return Uint32Array.from(kept)
}

function writeKept(
  fs: DriftFs,
  task: CompactTask,
  inputs: readonly Source[],
  kept: Uint32Array,
): SegmentEntry | undefined {
  const rows = kept.length / 2
  if (rows === 0) return undefined
  const source = (i: number): Source => inputs[kept[2 * i]!]!
  const origins = originsOf(task, kept)
  const { folder, name, uuid, createdMs, dim, metric, quantizer } = task
  return writeSegment(fs, folder, name, {
    uuid,
    createdMs,
    dim,
    metric,
    quantizer,
    ids: Array.from({ length: rows }, (_, i) => source(i).ids[kept[2 * i + 1]!]!),
    payloads: Array.from({ length: rows }, (_, i) => source(i).reader.payload(kept[2 * i + 1]!)),
    vectors: vectorSource(task, inputs, kept),
    lsnLow: inputs[0]!.entry.lsnLow,
    lsnHigh: inputs.at(-1)!.entry.lsnHigh,
    ...(origins ? { origins } : {}),
  })
}

/** Vectors in the order of `kept`: each input is read once, a run of rows at a time. */
function vectorSource(
  { dim, stop, rests }: CompactTask,
  inputs: readonly Source[],
  kept: Uint32Array,
): (i: number) => Float32Array {
  const buffer = new Float32Array(READ_ROWS * dim)
  let input = -1
  let first = 0
  let end = 0
  let restedAt = performance.now()
  return i => {
    const row = kept[2 * i + 1]!
    if (kept[2 * i] !== input || row >= end) {
      if (Atomics.load(stop, 0) !== 0)
        throw new DriftError('DRIFT_ABORTED', 'the compaction was told to stop')
      const worked = performance.now() - restedAt
      if (rests && worked > REST_EVERY_MS) {
        Atomics.wait(stop, 0, 0, worked)
        restedAt = performance.now()
      }
      input = kept[2 * i]!
      const { reader } = inputs[input]!
      first = row
      end = Math.min(reader.rows, first + READ_ROWS)
      reader.readVectors(first, end - first, buffer.subarray(0, (end - first) * dim))
    }
    return buffer.subarray((row - first) * dim, (row - first + 1) * dim)
  }
}

/** In terms of the segments that the index file knows; undefined when it does not know the inputs. */
function originsOf({ inputs }: CompactTask, kept: Uint32Array): Origins | undefined {
  if (inputs.some(({ origins }) => !origins)) return undefined
  const segments: string[] = []
  const firsts = inputs.map(({ origins }) => segments.push(...origins!.segments) - origins!.segments.length)
  const places = new Uint32Array(kept.length)
  for (let i = 0; i < kept.length; i += 2) {
    const number = kept[i]!
    const at = 2 * kept[i + 1]!
    const known = inputs[number]!.origins!.places
    places[i] = firsts[number]! + known[at]!
    places[i + 1] = known[at + 1]!
  }
  return { segments, places }
}

/** The file without the ids that no older segment holds: the same one, a smaller one, or none. */
function shrink(
  fs: DriftFs,
  { folder, createdMs }: CompactTask,
  entry: TombstoneEntry,
  ids: readonly Uint8Array[],
  fresh: { readonly name: string; readonly uuid: string },
  isNeeded: (id: Uint8Array) => boolean,
): TombstoneEntry | undefined {
  const needed = ids.filter(isNeeded)
  if (needed.length === 0) return undefined
  // Half of a small file is not worth a new one.
  if (2 * needed.length > ids.length) return entry
  const { lsnLow, lsnHigh } = entry
  return writeTombstones(fs, folder, fresh.name, {
    uuid: fresh.uuid,
    createdMs,
    ids: needed,
    lsnLow,
    lsnHigh,
  })
}

function keysOf(kept: Uint32Array, inputs: readonly Source[]): ReadonlySet<string> {
  const keys = new Set<string>()
  for (let i = 0; i < kept.length; i += 2) keys.add(keyOf(inputs[kept[i]!]!.ids[kept[i + 1]!]!))
  return keys
}

function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1')
}

/** Of a segment that the index file knows itself. */
export function directOrigins({ uuid, rows }: SegmentEntry): Origins {
  const places = new Uint32Array(2 * rows)
  for (let row = 0; row < rows; row++) places[2 * row + 1] = row
  return { segments: [uuid], places }
}

/** Rows of the new segment in the index, from those of its inputs. */
export function placesOf(sources: Uint32Array, inputs: readonly Uint32Array[]): Uint32Array {
  const places = new Uint32Array(sources.length / 2)
  for (let i = 0; i < places.length; i++) places[i] = inputs[sources[2 * i]!]![sources[2 * i + 1]!] ?? NO_ROW
  return places
}
