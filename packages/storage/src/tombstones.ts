/**
 * A tombstone file: the ids that a run of writes deleted, so that older segments no longer count for them. Same container as a segment.
 * It hides rows of files before it in the manifest, never of those after it.
 */
import type { DriftFs } from '@drift/fs'
import { StorageError } from './errors.js'
import { CHUNK_BYTES, encodeChunks, readColumn } from './segment/bytes-column.js'
import { FileKind, SectionKind } from './segment/format.js'
import { SectionReader } from './segment/section-reader.js'
import { type FileEntry, writeContainer } from './segment/section-writer.js'
import { digestIds, encodeStats, readStats } from './segment/stats.js'
import { checkIds, checkLsnRange } from './segment/writer.js'

export interface TombstoneInput {
  readonly uuid: string
  readonly createdMs?: number
  readonly ids: readonly Uint8Array[]
  readonly lsnLow: number
  readonly lsnHigh: number
  /** The folder is synced too; else that is the caller's next step. */
  readonly syncFolder?: boolean
}

export interface TombstoneEntry extends FileEntry {
  readonly rows: number
  readonly lsnLow: number
  readonly lsnHigh: number
}

/** Whole and durable under `name` when it returns. */
export function writeTombstones(
  fs: DriftFs,
  folder: string,
  name: string,
  input: TombstoneInput,
): TombstoneEntry {
  const { uuid, createdMs = 0, ids, lsnLow, lsnHigh } = input
  checkLsnRange(lsnLow, lsnHigh)
  checkIds(ids)
  const rows = ids.length
  const header = { kind: FileKind.tombstones, uuid, createdMs, dim: 0 }
  const entry = writeContainer(fs, folder, name, header, rows, input.syncFolder, writer => {
    writer.addPaged({ kind: SectionKind.ids, items: rows }, CHUNK_BYTES, encodeChunks(ids))
    const counts = { rows, lsnLow, lsnHigh, idDigest: digestIds(ids), payloadRows: 0, payloadBytes: 0 }
    writer.add({ kind: SectionKind.stats, items: 1 }, encodeStats(counts))
  })
  return { ...entry, rows, lsnLow, lsnHigh }
}

/** The deleted ids in the order written, every checksum walked. */
export function readTombstones(fs: DriftFs, folder: string, entry: TombstoneEntry): Uint8Array[] {
  const file = SectionReader.open(fs, `${folder}/${entry.name}`, FileKind.tombstones, entry)
  try {
    file.verify()
    const { rows, lsnLow, lsnHigh, idDigest } = readStats(file)
    if (rows !== entry.rows || lsnLow !== entry.lsnLow || lsnHigh !== entry.lsnHigh) {
      const message = `${file.path} has ${rows} ids of LSN ${lsnLow} to ${lsnHigh}, expected ${entry.rows} of ${entry.lsnLow} to ${entry.lsnHigh}`
      throw new StorageError('DRIFT_CORRUPT_IDENTITY', message, { path: file.path })
    }
    const ids = readColumn(file, SectionKind.ids).filter(id => id !== undefined)
    if (ids.length !== rows || digestIds(ids) !== idDigest) {
      throw file.bad('holds other ids than were written', { section: SectionKind.ids })
    }
    return ids
  } finally {
    file.close()
  }
}
