/**
 * `check`: is every byte of the database what was written, and does memory agree? Looks at one pinned moment, beside searches and
 * writes; changes nothing.
 */
import { encodeId } from '@drift/core'
import type { DriftFs } from '@drift/fs'
import { kernels } from '@drift/native'
import { assertOpen, type Engine } from '../engine.js'
import { assertDatabase } from '../folder.js'
import { holdMoment, surveyLiveLog } from '../read-only/moment.js'
import { runSliced, type SliceOptions } from '../slices.js'
import type { Store } from '../store.js'
import { checkDisk, type DiskReport, type LiveIds } from './disk.js'
import { type CheckReport, type Finding, isOk } from './report.js'

export type CheckOptions = SliceOptions

/** @throws the signal's reason, or DRIFT_CLOSED when the database is closed meanwhile. */
export async function checkEngine(engine: Engine, options: CheckOptions): Promise<CheckReport> {
  const alive = () => assertOpen(engine)
  if (engine.readOnly) return checkReadOnly(engine, options, alive)
  // One tick: files, log position and rows of the same moment.
  const hold = engine.persistence.hold()
  const stores = [...engine.stores.values()].map(store => ({ store, pin: store.index.pin() }))
  try {
    const moment = { manifest: hold.manifest.number, lastLsn: engine.journal.durableLsn }
    const log = surveyLiveLog(engine.fs, engine.folder, hold.manifest)
    const disk = await runSliced(
      checkDisk(engine.fs, engine.folder, { moment, log, beside: true }),
      'check files',
      folderBytes(engine.fs, engine.folder),
      options,
      alive,
    )
    const findings = disk.findings
    for (const { store, pin } of stores) {
      const live = disk.live && (disk.live.get(store.number) ?? { rows: 0, digest: 0n })
      const rows = checkIndex(store, pin, live, findings)
      try {
        await runSliced(rows, `check ${store.config.name}`, pin.rows, options, alive)
      } catch (error) {
        // Of a collection that is dropped meanwhile there is nothing left that could disagree.
        if ((error as { code?: unknown }).code !== 'DRIFT_DROPPED') throw error
      }
    }
    return { ok: isOk(findings), files: disk.files, bytes: disk.bytes, findings }
  } finally {
    for (const { pin } of stores) pin.release()
    hold.release()
  }
}

/** The newest state on disk, which may be newer than the one that is open here, and this one's own rows. */
async function checkReadOnly(
  { fs, folder, stores }: Engine,
  options: CheckOptions,
  alive: () => void,
): Promise<CheckReport> {
  const { findings, files, bytes } = await checkMoment(fs, folder, true, options, alive)
  for (const store of stores.values()) {
    const pin = store.index.pin()
    try {
      const rows = checkIndex(store, pin, undefined, findings)
      await runSliced(rows, `check ${store.config.name}`, pin.rows, options, alive)
    } finally {
      pin.release()
    }
  }
  return { ok: isOk(findings), files, bytes, findings }
}

/**
 * A database that is not open here.
 *
 * @throws DRIFT_NO_DATABASE, DRIFT_NOT_A_FOLDER, DRIFT_FORMAT_VERSION, DRIFT_LOCKED when its writer leaves no moment to be looked at, and
 *   what the disk itself refuses.
 */
export async function checkFolder(fs: DriftFs, folder: string, options: CheckOptions): Promise<CheckReport> {
  assertDatabase(fs, folder)
  const { findings, files, bytes } = await checkMoment(fs, folder, false, options)
  return { ok: isOk(findings), files, bytes, findings }
}

/** The files of one moment, whatever a writer does meanwhile. */
async function checkMoment(
  fs: DriftFs,
  folder: string,
  beside: boolean,
  options: CheckOptions,
  alive?: () => void,
): Promise<DiskReport> {
  const { held, log } = holdMoment(fs, folder)
  try {
    const steps = checkDisk(held, folder, { log, beside })
    return await runSliced(steps, 'check files', folderBytes(fs, folder), options, alive)
  } finally {
    held.letGo()
  }
}

/** Each live id has exactly one live row, which is in its buckets or in a memtable; together they are the ids of the files. */
function* checkIndex(
  store: Store,
  pin: { readonly live: Uint32Array; readonly rows: number },
  expected: LiveIds | undefined,
  findings: Finding[],
): Generator<number, void> {
  const { index, config } = store
  const seen = new Map<bigint, number>()
  let digest = 0n
  for (let row = 0; row < pin.rows; row++) {
    if (row % 64 === 0) yield 64
    if (((pin.live[row >>> 5]! >>> (row & 31)) & 1) === 0) continue
    const hash = kernels.hash64(encodeId(index.idAt(row)))
    digest ^= hash
    const other = seen.get(hash)
    if (other !== undefined)
      findings.push(
        fault(config.name, `rows ${other} and ${row} both stand for id ${String(index.idAt(row))}`),
      )
    seen.set(hash, row)
  }
  if (expected && (expected.rows !== seen.size || expected.digest !== digest)) {
    findings.push(
      fault(config.name, `${seen.size} rows in memory, ${expected.rows} in the files, or other ids`),
    )
  }
}

function fault(collection: string, message: string): Finding {
  return {
    file: collection,
    kind: 'index',
    severity: 'error',
    message: `collection '${collection}': ${message}`,
    truth: false,
  }
}

function folderBytes(fs: DriftFs, folder: string): number {
  let bytes = 0
  for (const name of fs.list(folder)) bytes += fs.stat(`${folder}/${name}`)?.bytes ?? 0
  return bytes
}
