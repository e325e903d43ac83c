/**
 * A checkpoint: the partition of a collection at some moment, so that opening need not compute it again. Derived: when it is damaged or
 * does not fit the segments, the caller drops it and routes the rows anew. @drift/server writes index files (index-file.ts) in its place,
 * which hold codes and ids besides; a manifest names either as `checkpoint`.
 *
 * CENTROIDS  f32, k * dim, row-major
 * HOMES      segments u64 | per segment { uuid 16 B, rows u64 } | per segment u32 x rows: the row's centroid, or NO_HOME
 */
import type { DriftFs } from '@drift/fs'
import { requireArgument, requireArray } from './errors.js'
import { FileKind, getU64, SectionKind, setU64, viewOf } from './segment/format.js'
import { SectionReader } from './segment/section-reader.js'
import { type FileEntry, writeContainer } from './segment/section-writer.js'
import { uuidBytes, uuidText } from './uuid.js'

/** The home of a row that is in no bucket, since it was deleted or replaced. */
export const NO_HOME = 0xffff_ffff

export interface SegmentHomes {
  /** The segment's uuid. */
  readonly segment: string
  /** Per row its centroid, or NO_HOME. */
  readonly homes: Uint32Array
}

export interface Checkpoint {
  readonly uuid: string
  readonly dim: number
  /** k * dim, row-major. */
  readonly centroids: Float32Array
  readonly homes: readonly SegmentHomes[]
}

export interface CheckpointInput extends Checkpoint {
  readonly createdMs?: number
  /** The folder is synced too; else that is the caller's next step. */
  readonly syncFolder?: boolean
}

export type CheckpointEntry = FileEntry

const HOMES_SEGMENTS = 0
const HOMES_DIRECTORY = HOMES_SEGMENTS + 8
const DIRECTORY_ENTRY_BYTES = 16 + 8

/** Whole and durable under `name` when it returns. */
export function writeCheckpoint(
  fs: DriftFs,
  folder: string,
  name: string,
  input: CheckpointInput,
): CheckpointEntry {
  const { uuid, createdMs = 0, dim, centroids, homes } = input
  requireArray(centroids, 'centroids', Float32Array)
  for (const { segment, homes: of } of homes) requireArray(of, `homes of ${segment}`, Uint32Array)
  const k = centroids.length / dim
  requireArgument(Number.isSafeInteger(dim) && dim >= 1, () => `dim is ${dim}`)
  requireArgument(Number.isInteger(k), () => `${centroids.length} values are no centroids of ${dim}`)
  for (const { segment, homes: of } of homes) {
    const row = homeless(of, k)
    requireArgument(
      row < 0,
      () => `row ${row} of segment ${segment} is at home in ${of[row]} of ${k} centroids`,
    )
  }
  const rows = homes.reduce((sum, { homes: of }) => sum + of.length, 0)
  const header = { kind: FileKind.checkpoint, uuid, createdMs, dim }
  return writeContainer(fs, folder, name, header, rows, input.syncFolder, writer => {
    const { buffer, byteOffset, byteLength } = centroids
    writer.add({ kind: SectionKind.centroids, items: k }, new Uint8Array(buffer, byteOffset, byteLength))
    writer.add({ kind: SectionKind.homes, items: rows }, encodeHomes(homes))
  })
}

/** What was written, every checksum walked. */
export function readCheckpoint(fs: DriftFs, folder: string, entry: CheckpointEntry): Checkpoint {
  const file = SectionReader.open(fs, `${folder}/${entry.name}`, FileKind.checkpoint, entry)
  try {
    file.verify()
    const { uuid, dim } = file.header
    const values = file.section(SectionKind.centroids)
    const k = file.entry(SectionKind.centroids).items
    if (dim === 0 || values.length !== k * dim * 4) {
      throw file.bad(`has ${values.length} bytes for ${k} centroids of ${dim}`, {
        section: SectionKind.centroids,
      })
    }
    return { uuid, dim, centroids: new Float32Array(values.buffer), homes: decodeHomes(file, k) }
  } finally {
    file.close()
  }
}

function encodeHomes(homes: readonly SegmentHomes[]): Uint8Array {
  let at = HOMES_DIRECTORY + homes.length * DIRECTORY_ENTRY_BYTES
  const bytes = new Uint8Array(homes.reduce((sum, { homes: of }) => sum + of.length * 4, at))
  const view = viewOf(bytes)
  setU64(view, HOMES_SEGMENTS, homes.length)
  homes.forEach(({ segment, homes: of }, i) => {
    const entry = HOMES_DIRECTORY + i * DIRECTORY_ENTRY_BYTES
    bytes.set(uuidBytes(segment), entry)
    setU64(view, entry + 16, of.length)
    bytes.set(new Uint8Array(of.buffer, of.byteOffset, of.byteLength), at)
    at += of.byteLength
  })
  return bytes
}

function decodeHomes(file: SectionReader, k: number): SegmentHomes[] {
  const bytes = file.section(SectionKind.homes)
  const bad = (what: string) => file.bad(what, { section: SectionKind.homes })
  if (bytes.length < HOMES_DIRECTORY) throw bad(`has ${bytes.length} bytes`)
  const view = viewOf(bytes)
  const segments = getU64(view, HOMES_SEGMENTS, file.path)
  let at = HOMES_DIRECTORY + segments * DIRECTORY_ENTRY_BYTES
  if (at > bytes.length) throw bad(`has ${bytes.length} bytes for ${segments} segments`)
  const homes: SegmentHomes[] = []
  for (let i = 0; i < segments; i++) {
    const entry = HOMES_DIRECTORY + i * DIRECTORY_ENTRY_BYTES
    const rows = getU64(view, entry + 16, file.path)
    if (rows * 4 > bytes.length - at) throw bad(`has no room for ${rows} rows of segment ${i}`)
    const of = new Uint32Array(bytes.slice(at, at + rows * 4).buffer)
    const row = homeless(of, k)
    if (row >= 0) throw bad(`has row ${row} of segment ${i} at home in ${of[row]} of ${k} centroids`)
    homes.push({ segment: uuidText(bytes.subarray(entry, entry + 16)), homes: of })
    at += rows * 4
  }
  if (at !== bytes.length) throw bad(`has ${bytes.length - at} bytes too many`)
  return homes
}

/** The first row whose home is none of k centroids nor NO_HOME, or -1. */
function homeless(homes: Uint32Array, k: number): number {
  return homes.findIndex(home => home >= k && home !== NO_HOME)
}
