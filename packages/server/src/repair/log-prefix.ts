/**
 * The part of a damaged log before the damage: the log is read again as if its writer had stopped there. What lies behind is not taken,
 * also where it could be read: writes that follow a lost one may depend on it.
 */
import { basename, dirname } from 'node:path'
import { readWal, type WalScan } from '@drift/core'
import type { DriftFs } from '@drift/fs'
import type { Manifest } from '@drift/storage'
import { isLogDamage } from '../check/survey.js'

const LOG = /^wal-\d{16}\.drw$/

/** Nothing is written. @returns the records from the manifest's floor up to the damage; none when the log begins behind it. */
export function readLogPrefix(fs: DriftFs, folder: string, manifest: Manifest): WalScan['records'] {
  const logs = fs.list(folder).filter(name => LOG.test(name))
  // An older file that is not needed may be the damaged one: without it the rest is whole.
  const candidates: ReturnType<typeof tryRead>[] = [cutAtDamage(fs, folder, manifest, logs)]
  for (const name of logs) candidates.push(tryRead(fs, folder, manifest, new Map([[name, 0]])))
  let best: Records = []
  for (const records of candidates) {
    if (Array.isArray(records) && (records.at(-1)?.lsn ?? 0) > (best.at(-1)?.lsn ?? 0)) best = records
  }
  return best
}

type Records = { readonly lsn: number; readonly bytes: Uint8Array }[]

function cutAtDamage(fs: DriftFs, folder: string, manifest: Manifest, logs: readonly string[]): Records {
  /** First byte that does not count, by file name. */
  const cuts = new Map<string, number>()
  // Each turn cuts off more; a cut file that is still refused goes altogether.
  for (let turn = 0; turn <= 2 * logs.length; turn++) {
    const read = tryRead(fs, folder, manifest, cuts)
    if (Array.isArray(read)) return read
    const name = basename(read.file)
    if (dirname(read.file) !== folder || !LOG.test(name)) return []
    cuts.set(name, cuts.has(name) ? 0 : read.offset)
    for (const later of logs) if (later > name) cuts.set(later, 0)
  }
  return []
}

/** @returns the place of the damage when there is some. */
function tryRead(
  fs: DriftFs,
  folder: string,
  { database, floorLsn }: Manifest,
  cuts: ReadonlyMap<string, number>,
): Records | { readonly file: string; readonly offset: number } {
  try {
    return [
      ...readWal(cutDisk(fs, cuts), folder, { database: Buffer.from(database, 'hex'), floorLsn }).records,
    ]
  } catch (error) {
    if (!isLogDamage(error)) throw error
    return (error as unknown as { details: { file: string; offset: number } }).details
  }
}

/** The disk with the cut files' bytes from their cut on read as zeros, and files cut at 0 not there. */
function cutDisk(fs: DriftFs, cuts: ReadonlyMap<string, number>): DriftFs {
  const ends = new Map<number, number>()
  const view: Partial<DriftFs> = {
    list: path => fs.list(path).filter(name => cuts.get(name) !== 0),
    stat: path => fs.stat(path),
    open(path, mode) {
      const fd = fs.open(path, mode)
      const cut = cuts.get(basename(path))
      if (cut !== undefined) ends.set(fd, cut)
      return fd
    },
    close(fd) {
      ends.delete(fd)
      fs.close(fd)
    },
    read(fd, into, offset) {
      const read = fs.read(fd, into, offset)
      const end = ends.get(fd)
      if (end !== undefined) into.subarray(Math.max(0, Math.min(read, end - offset)), read).fill(0)
      return read
    },
  }
  return view as DriftFs
}
