/**
 * Reads a damaged log for what can be proven good: every frame that validates by itself, in the order of the LSNs, and says which LSNs
 * are gone. Rule: nothing is guessed, and nothing is dropped without a line in `losses`. A newer release's log is refused, since
 * it is not damaged. Writes nothing.
 */

import type { DriftFs } from '@drift/fs'
import { CoreError } from '../errors.js'
import { inspectWal, type WalFileReport } from './inspect.js'
import type { WalEnd, WalRecord } from './log.js'
import { type ReadWalOptions, readWal, type WalScan } from './reader.js'

export interface WalLoss {
  readonly file: string
  readonly offset: number
  /** A WalDamage of the reader, or the state of a frame. */
  readonly kind: string
  readonly reason: string
  /** LSNs that nothing on disk gives back; none when the bytes held nothing that is needed. */
  readonly firstLsn?: number
  readonly lastLsn?: number
}

export interface WalSalvage extends Omit<WalScan, 'records'> {
  /** In LSN order; what is between two of them is in `losses`. */
  readonly records: readonly WalRecord[]
  readonly losses: readonly WalLoss[]
  /** Names of files with damage, to be kept aside. */
  readonly damaged: readonly string[]
}

/** The log as `readWal` gives it when it is whole. */
export function salvageWal(fs: DriftFs, folder: string, options: ReadWalOptions): WalSalvage {
  try {
    const scan = readWal(fs, folder, options)
    return { ...scan, records: [...scan.records], losses: [], damaged: [] }
  } catch (error) {
    if (!(error instanceof CoreError) || error.code !== 'DRIFT_WAL_CORRUPT') throw error
    if (error.details['kind'] === 'version') throw error
    return salvage(fs, folder, options, error)
  }
}

function salvage(fs: DriftFs, folder: string, options: ReadWalOptions, cause: CoreError): WalSalvage {
  const { floorLsn, durableLsn = 0, database } = options
  const reports = [...inspectWal(fs, folder)]
  const losses: WalLoss[] = [lossOf(cause)]
  const damaged = new Set<string>([nameOf(String(cause.details['file']))])
  const found = new Map<number, WalRecord>()
  let lastFile = 0
  let batch = 0
  let chain = 0
  for (const report of reports) {
    const ours = isOurs(report, database)
    lastFile = Math.max(lastFile, report.file)
    if (report.header === 'damaged' || (typeof report.header !== 'string' && !ours)) {
      damaged.add(nameOf(report.path))
      const reason = ours ? 'its header is damaged' : 'it belongs to another log'
      losses.push({ file: report.path, offset: 0, kind: ours ? 'header' : 'database', reason })
    }
    if (!ours || typeof report.header === 'string') continue
    batch = Math.max(batch, report.header.firstBatch - 1)
    // From here on this file tells the history: what an earlier one holds above it had not been acknowledged.
    for (const lsn of found.keys()) if (lsn >= report.header.firstLsn) found.delete(lsn)
    for (const { offset, state, header, records } of report.frames) {
      if (state !== 'whole' || !header) {
        damaged.add(nameOf(report.path))
        const lsns = header && header.records > 0 ? lsnsOf(header.firstLsn, header.records) : {}
        losses.push({
          file: report.path,
          offset,
          kind: state,
          reason: `a ${state} that does not validate`,
          ...lsns,
        })
        continue
      }
      batch = Math.max(batch, header.batch)
      chain = header.chain
      for (const [i, bytes] of records.entries()) {
        const lsn = header.firstLsn + i
        if (lsn >= floorLsn) found.set(lsn, { lsn, bytes })
      }
    }
  }
  const records = [...found.values()].sort((a, b) => a.lsn - b.lsn)
  const nextLsn = Math.max(floorLsn, durableLsn + 1, (records.at(-1)?.lsn ?? 0) + 1)
  losses.push(...gaps(records, floorLsn, nextLsn, folder))
  const end: WalEnd = { file: lastFile + 1, lsn: nextLsn, previousFile: lastFile, batch: batch + 1, chain }
  return {
    records,
    end,
    clean: false,
    torn: undefined,
    files: [],
    losses,
    damaged: [...damaged].filter(Boolean),
  }
}

function isOurs({ header, file }: WalFileReport, database: Uint8Array): boolean {
  if (typeof header === 'string') return true
  return header.file === file && Buffer.compare(header.database, database) === 0
}

/** Each run of LSNs that no record has. */
function gaps(records: readonly WalRecord[], floorLsn: number, nextLsn: number, folder: string): WalLoss[] {
  const losses: WalLoss[] = []
  let expected = floorLsn
  for (const lsn of [...records.map(record => record.lsn), nextLsn]) {
    if (lsn > expected) {
      const reason = `LSN ${expected} to ${lsn - 1} are gone`
      losses.push({ file: folder, offset: 0, kind: 'gap', reason, ...lsnsOf(expected, lsn - expected) })
    }
    expected = lsn + 1
  }
  return losses
}

function lsnsOf(firstLsn: number, count: number): { firstLsn: number; lastLsn: number } {
  return { firstLsn, lastLsn: firstLsn + count - 1 }
}

function lossOf({ details, message }: CoreError): WalLoss {
  return {
    file: String(details['file']),
    offset: Number(details['offset']),
    kind: String(details['kind']),
    reason: message,
  }
}

/** Empty for a folder. */
function nameOf(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1)
  return name.endsWith('.drw') ? name : ''
}
