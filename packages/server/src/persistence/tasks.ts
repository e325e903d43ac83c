/**
 * What the persistence thread does: write one immutable file, commit a manifest, remove files. Each task is a pure
 * function of its message and the disk, so the same code runs on a thread over the real disk and inline over a simulated one.
 */
import { join } from 'node:path'
import type { DriftFs } from '@drift/fs'
import {
  type CheckpointEntry,
  commitManifest,
  type Manifest,
  removeOldManifests,
  type SegmentEntry,
  type SegmentHomes,
  type TombstoneEntry,
  writeCheckpoint,
  writeSegment,
  writeTombstones,
} from '@drift/storage'
import { type Packed, unpack } from './packed.js'

export interface SegmentTask {
  readonly kind: 'segment'
  readonly folder: string
  readonly name: string
  readonly uuid: string
  readonly createdMs: number
  readonly dim: number
  readonly metric: 'l2' | 'cosine' | 'ip'
  /** Encoded ids and payloads, one for each of `rows`. */
  readonly ids: Packed
  readonly payloads: Packed
  /** The index's own memory, shared: row r is at r * dim. */
  readonly vectors: Float32Array
  readonly rows: Uint32Array
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

export interface CheckpointTask {
  readonly kind: 'checkpoint'
  readonly folder: string
  readonly name: string
  readonly uuid: string
  readonly dim: number
  readonly centroids: Float32Array
  readonly homes: readonly SegmentHomes[]
}

/** New files become durable names, then the manifest that names them. The point of no return. */
export interface ManifestTask {
  readonly kind: 'manifest'
  readonly folder: string
  readonly manifest: Manifest
  /** Checksum of the manifest before; 0 for the first. */
  readonly previousCrc: number
}

export interface RemoveTask {
  readonly kind: 'remove'
  readonly paths: string[]
}

/** A file of zeros that holds room. */
export interface ReserveTask {
  readonly kind: 'reserve'
  readonly path: string
  readonly bytes: number
}

export interface TaskResults {
  readonly segment: SegmentEntry
  readonly tombstones: TombstoneEntry
  readonly checkpoint: CheckpointEntry
  /** Its checksum. */
  readonly manifest: number
  readonly remove: undefined
  readonly reserve: undefined
}

export type Task = SegmentTask | TombstoneTask | CheckpointTask | ManifestTask | RemoveTask | ReserveTask

export function runTask<T extends Task>(fs: DriftFs, task: T): TaskResults[T['kind']] {
  return run(fs, task) as TaskResults[T['kind']]
}

function run(fs: DriftFs, task: Task): TaskResults[Task['kind']] {
  switch (task.kind) {
    case 'segment': {
      const { vectors, rows, dim } = task
      return writeSegment(fs, task.folder, task.name, {
        ...task,
        ids: unpack(task.ids) as Uint8Array[],
        payloads: unpack(task.payloads),
        vectors: position => vectors.subarray(rows[position]! * dim, (rows[position]! + 1) * dim),
      })
    }
    case 'tombstones':
      return writeTombstones(fs, task.folder, task.name, { ...task, ids: unpack(task.ids) as Uint8Array[] })
    case 'checkpoint':
      return writeCheckpoint(fs, task.folder, task.name, task)
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

function commit(fs: DriftFs, { folder, manifest, previousCrc }: ManifestTask): number {
  const crc = commitManifest(fs, folder, manifest, previousCrc)
  removeOldManifests(fs, folder, manifest.number)
  return crc
}

export function pathsIn(folder: string, names: readonly string[]): string[] {
  return names.map(name => join(folder, name))
}
