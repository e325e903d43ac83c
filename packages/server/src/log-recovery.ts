/**
 * The log's half of opening: which records are replayed under each recovery mode, and what is set aside. Rules: `strict` refuses damage and
 * changes nothing; `salvage` takes what validates and reports every LSN that is gone; `pointInTime` takes the records up to an LSN.
 * What is not taken is copied to quarantine/, with a report beside it, before a new log replaces it.
 */
import { join } from 'node:path'
import {
  type Id,
  type ReadWalOptions,
  readWal,
  salvageWal,
  type WalLoss,
  type WalRecord,
  type WalScan,
  type WalWriter,
} from '@drift/core'
import type { DriftFs } from '@drift/fs'
import type { CollectionEntry, Manifest } from '@drift/storage'
import { DriftError } from './errors.js'
import { isLog, logNumber } from './folder.js'
import { decodeOperation, encodeLost } from './operation.js'
import { copyAside, reportAside } from './quarantine.js'

/** `strict`: damage is refused. `salvage`: what can be proven good. `pointInTime`: the state after that LSN. */
export type RecoveryMode = 'strict' | 'salvage' | { readonly pointInTime: number }

/** Writes that are gone, and where they were. */
export interface RecoveryLoss extends WalLoss {
  /** Of a segment or tombstone file: whose rows (kind `rows`) or deletions (kind `deletions`). */
  readonly collection?: string
  /** Of lost rows, as far as they can be read: no older version of them is back. */
  readonly ids?: readonly Id[]
  /** Lost rows whose id cannot be read either: of those an older version may be back. */
  readonly unknownIds?: number
}

/** What opening found and did. */
export interface RecoveryReport {
  readonly mode: RecoveryMode
  /** The handle before was closed. */
  readonly clean: boolean
  readonly replayedRecords: number
  readonly replayedBytes: number
  /** Where a write had been cut off, which was not acknowledged. */
  readonly torn: { readonly file: number; readonly offset: number } | undefined
  /** What `salvage` could not give back, and what `pointInTime` left out. */
  readonly losses: readonly RecoveryLoss[]
  /** Files that were copied or moved to quarantine/, and the report itself. */
  readonly quarantined: readonly string[]
}

export interface LogRead extends Pick<WalScan, 'end' | 'clean' | 'torn' | 'files'> {
  /** Without a gap. */
  readonly records: readonly WalRecord[]
  /** Behind the point in time. */
  readonly leftOut: readonly WalRecord[]
  readonly losses: readonly WalLoss[]
  /** Files to be kept aside. */
  readonly aside: readonly string[]
  /** The log on disk is not what is replayed: it has to be replaced. */
  readonly replaced: boolean
}

/** What the manifest says of the log, in the reader's terms. */
export function expectedLog({ database, floorLsn, durableLsn, logFile }: Manifest): ReadWalOptions {
  return {
    database: Buffer.from(database, 'hex'),
    floorLsn,
    durableLsn,
    ...(logFile === undefined ? {} : { knownFile: logFile }),
  }
}

/** By collection number, the last record that its files hold; 0 when it has none. */
export function flushedUpTo({ collections }: Manifest): Map<number, number> {
  const lastOf = ({ segments, tombstones }: CollectionEntry) =>
    Math.max(0, ...[...segments, ...tombstones].map(file => file.lsnHigh))
  return new Map(collections.map(entry => [entry.number, lastOf(entry)]))
}

export function readLog(
  fs: DriftFs,
  folder: string,
  database: Uint8Array,
  manifest: Manifest,
  mode: RecoveryMode,
): LogRead {
  const options = { ...expectedLog(manifest), database }
  if (mode === 'salvage') {
    const { records, losses, damaged, ...rest } = salvageWal(fs, folder, options)
    const replaced = losses.length > 0
    return {
      ...rest,
      records: filled(records, manifest.floorLsn, rest.end.lsn),
      leftOut: [],
      losses,
      aside: damaged,
      replaced,
    }
  }
  const scan = readWal(fs, folder, options)
  const records = [...scan.records]
  const whole = { ...scan, records, leftOut: [], losses: [], aside: [], replaced: false }
  return typeof mode === 'object' ? upTo(mode.pointInTime, whole, manifest, folder) : whole
}

function upTo(lsn: number, log: LogRead, manifest: Manifest, folder: string): LogRead {
  const lastLsn = log.end.lsn - 1
  const firstLsn = Math.max(manifest.floorLsn - 1, ...flushedUpTo(manifest).values())
  const leftOut = log.records.filter(record => record.lsn > lsn)
  const dropped = leftOut.find(({ bytes }) => decodeOperation(bytes).kind === 'drop')
  if (lsn < firstLsn || lsn > lastLsn || dropped)
    throw new DriftError(
      'DRIFT_POINT_IN_TIME',
      dropped
        ? `a collection was dropped at LSN ${dropped.lsn}, and its files are gone: ${folder} cannot go back to ${lsn}`
        : `LSN ${lsn} is not in the log of ${folder}, which reaches from ${firstLsn} to ${lastLsn}`,
      { lsn, firstLsn, lastLsn },
    )
  if (leftOut.length === 0) return log
  const reason = `LSN ${lsn + 1} to ${lastLsn} came after the point in time`
  return {
    ...log,
    records: log.records.filter(record => record.lsn <= lsn),
    leftOut,
    end: { ...log.end, lsn: lsn + 1 },
    clean: false,
    losses: [{ file: folder, offset: 0, kind: 'left-out', reason, firstLsn: lsn + 1, lastLsn }],
    aside: ['wal'],
    replaced: true,
  }
}

/** Each opening begins a file: of a database that is opened often and written seldom most of the log is room that nobody uses. */
export function isScattered({ files, records }: LogRead): boolean {
  const bytes = records.reduce((sum, record) => sum + record.bytes.length, 0)
  return files.length > MOST_FILES && bytes < LITTLE_BYTES
}

/** 4 MiB each when they are new. */
const MOST_FILES = 8
const LITTLE_BYTES = 4 * 1024 * 1024

/** A record that says so for each LSN that is gone: a log has no gaps. */
function filled(records: readonly WalRecord[], floorLsn: number, nextLsn: number): WalRecord[] {
  const whole: WalRecord[] = []
  let at = 0
  for (let lsn = floorLsn; lsn < nextLsn; lsn++)
    whole.push(records[at]?.lsn === lsn ? records[at++]! : { lsn, bytes: encodeLost() })
  return whole
}

/** Copies what will be replaced, and the report, into quarantine/. Durable when it returns. @returns the names there. */
export function setAside(fs: DriftFs, folder: string, log: LogRead, mode: RecoveryMode): string[] {
  const all = log.aside.includes('wal')
  const names = fs.list(folder).filter(name => log.aside.includes(name) || (all && isLog(name)))
  const files = copyAside(fs, folder, names)
  return [...files, reportAside(fs, folder, 'recovery.json', { mode, losses: log.losses, files })]
}

/** The new log stands for all files before it. Leaves nothing that the next opening would stumble over. */
export async function removeReplaced(fs: DriftFs, folder: string, writer: WalWriter): Promise<void> {
  const active = writer.files().at(-1)!
  await writer.removeBelow(active.firstLsn)
  for (const name of fs.list(folder)) {
    const file = logNumber(name)
    if (file !== undefined && file < active.file) fs.remove(join(folder, name))
  }
  fs.syncFolder(folder)
}
