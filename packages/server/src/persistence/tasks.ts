/**
 * What the persistence thread does: write one immutable file, commit a manifest, remove files. Each task is a pure
 * function of its message and the disk, so the same code runs on a thread over the real disk and inline over a simulated one.
 */
import { join } from 'node:path'
import type { DriftFs } from '@drift/fs'
import {
  type CheckpointEntry,
  commitManifest,
  type IndexFileInput,
  type Manifest,
  NO_ROW,
  removeOldManifests,
  type SegmentEntry,
  SegmentReader,
  type TombstoneEntry,
  writeIndexFile,
  writeSegment,
  writeTombstones,
} from '@drift/storage'
import { type CompactResult, type CompactTask, compact } from './compact.js'
import { type Packed, unpack } from './packed.js'

export interface SegmentTask {
  readonly kind: 'segment'
  readonly folder: string
  readonly name: string
  readonly uuid: string
  readonly createdMs: number
  readonly dim: number
  readonly metric: 'l2' | 'cosine' | 'ip'
  /** Encoded ids and payloads, one for each of `places`. */
  readonly ids: Packed
  readonly payloads: Packed
  /** The index's own memory, shared: that of row i is at places[i] * dim. */
  readonly vectors: Float32Array
  readonly places: Uint32Array
  readonly lsnLow: number
  readonly lsnHigh: number
  readonly quantizer: Uint8Array
}

export interface TombstoneTask {
  readonly kind: 'tombstones'
  readonly folder: string
  readonly name: string
  readonly uuid: string
  readonly ids: Packed
  readonly lsnLow: number
  readonly lsnHigh: number
}

export interface CheckpointTask extends Omit<IndexFileInput, 'createdMs' | 'syncFolder'> {
  readonly kind: 'checkpoint'
  readonly folder: string
  readonly name: string
}

/** Exact vectors of one segment, into the index's own memory. */
interface VectorsTask {
  readonly kind: 'vectors'
  readonly folder: string
  readonly entry: SegmentEntry
  /** By row of the segment: its number in the index, or NO_ROW: not wanted. */
  readonly places: Uint32Array
  readonly dim: number
  /** Shared: row r is at r * dim. */
  readonly vectors: Float32Array
}

/** New files become durable names, then the manifest that names them. The point of no return. */
interface ManifestTask {
  readonly kind: 'manifest'
  readonly folder: string
  readonly manifest: Manifest
  /** Checksum of the manifest before; 0 for the first. */
  readonly previousCrc: number
}

interface RemoveTask {
  readonly kind: 'remove'
  readonly paths: string[]
}

/** A file of zeros that holds room. */
interface ReserveTask {
  readonly kind: 'reserve'
  readonly path: string
  readonly bytes: number
}

export interface TaskResults {
  readonly segment: SegmentEntry
  readonly tombstones: TombstoneEntry
  readonly checkpoint: CheckpointEntry
  readonly vectors: undefined
  readonly compact: CompactResult
  /** Its checksum. */
  readonly manifest: number
  readonly remove: undefined
  readonly reserve: undefined
}

export type Task =
  | SegmentTask
  | TombstoneTask
  | CheckpointTask
  | VectorsTask
  | CompactTask
  | ManifestTask
  | RemoveTask
  | ReserveTask

export function runTask<T extends Task>(fs: DriftFs, task: T): TaskResults[T['kind']] {
  return run(fs, task) as TaskResults[T['kind']]
}

function run(fs: DriftFs, task: Task): TaskResults[Task['kind']] {
  switch (task.kind) {
    case 'segment': {
      const { vectors, places, dim } = task
      return writeSegment(fs, task.folder, task.name, {
        ...task,
        ids: unpack(task.ids) as Uint8Array[],
        payloads: unpack(task.payloads),
        vectors: position => vectors.subarray(places[position]! * dim, (places[position]! + 1) * dim),
      })
    }
    case 'tombstones':
      return writeTombstones(fs, task.folder, task.name, { ...task, ids: unpack(task.ids) as Uint8Array[] })
    case 'checkpoint':
      return writeIndexFile(fs, task.folder, task.name, task)
    case 'compact':
      return compact(fs, task)
    case 'vectors':
      return readVectors(fs, task)
    case 'manifest':
      // The names of the files that the manifest lists must not be lost when its own is kept.
      fs.syncFolder(task.folder)
      return commit(fs, task)
    case 'remove':
      for (const path of task.paths) if (fs.stat(path)) fs.remove(path)
      return undefined
    case 'reserve':
      return reserve(fs, task)
  }
}

/** Zeros that are written, not a hole: only those hold room. Leaves nothing when they do not fit. */
function reserve(fs: DriftFs, { path, bytes }: ReserveTask): undefined {
  const zeros = new Uint8Array(Math.min(bytes, 1 << 20))
  if (fs.stat(path)) fs.remove(path)
  const fd = fs.open(path, 'create')
  try {
    for (let at = 0; at < bytes; at += zeros.length)
      fs.write(fd, zeros.subarray(0, Math.min(zeros.length, bytes - at)), at)
    fs.fsync(fd)
  } catch (error) {
    fs.remove(path)
    throw error
  } finally {
    fs.close(fd)
  }
}

/** Rows decoded at once: where they are not in order in the index, they are copied from a buffer of this many. */
const READ_ROWS = 512

function readVectors(fs: DriftFs, { folder, entry, places, dim, vectors }: VectorsTask): undefined {
  const reader = SegmentReader.open(fs, folder, entry)
  try {
    const buffer = new Float32Array(READ_ROWS * dim)
    for (let first = 0; first < places.length; first += READ_ROWS) {
      const some = places.subarray(first, first + READ_ROWS)
      if (some.every(row => row === NO_ROW)) continue
      if (some.every((row, i) => row === some[0]! + i)) {
        reader.readVectors(
          first,
          some.length,
          vectors.subarray(some[0]! * dim, (some[0]! + some.length) * dim),
        )
        continue
      }
      reader.readVectors(first, some.length, buffer.subarray(0, some.length * dim))
      for (let i = 0; i < some.length; i++) {
        if (some[i] !== NO_ROW) vectors.set(buffer.subarray(i * dim, (i + 1) * dim), some[i]! * dim)
      }
    }
  } finally {
    reader.close()
  }
}

function commit(fs: DriftFs, { folder, manifest, previousCrc }: ManifestTask): number {
  const crc = commitManifest(fs, folder, manifest, previousCrc)
  try {
    removeOldManifests(fs, folder, manifest.number)
  } catch {
    // It is committed all the same, and the next one removes them.
  }
  return crc
}

export function pathsIn(folder: string, names: readonly string[]): string[] {
  return names.map(name => join(folder, name))
}
