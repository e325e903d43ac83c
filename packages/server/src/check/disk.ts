/**
 * The disk's half of `check`: every byte of every file that counts against its checksum, the manifests against each other, the files
 * against the manifest, and the ids that all of it together says are there.
 */
import { join } from 'node:path'
import { encodeId } from '@drift/core'
import type { DriftFs } from '@drift/fs'
import { kernels } from '@drift/native'
import {
  type CollectionEntry,
  type DecodedManifest,
  isTruthSection,
  type Manifest,
  type ManifestFile,
  manifestName,
  readManifests,
  type SegmentEntry,
} from '@drift/storage'
import { logName, ownedFiles, readFormat, unfinishedFiles } from '../folder.js'
import { flushedUpTo } from '../log-recovery.js'
import { decodeOperation } from '../operation.js'
import { namesOf } from '../persistence/persistence.js'
import type { Finding } from './report.js'
import {
  type FileSurvey,
  type LogSurvey,
  mergedBackup,
  passed,
  placeOfLogDamage,
  surveyFiles,
  surveyLog,
} from './survey.js'

/** Up to where an open database is looked at: what is newer does not count. */
interface Moment {
  readonly manifest: number
  readonly lastLsn: number
}

export interface DiskOptions {
  /** Of the database that is open here. Without it the newest whole manifest counts. */
  readonly moment?: Moment
  /** As it was read at that moment. Without it the log is read here. */
  readonly log?: LogSurvey | undefined
  /** Somebody is writing: files that nobody names yet, and the end of the log, are theirs. */
  readonly beside: boolean
}

export interface LiveIds {
  readonly rows: number
  /** XOR of every id's XXH64: the same set has the same digest in any order. */
  readonly digest: bigint
}

export interface DiskReport {
  readonly findings: Finding[]
  readonly files: number
  readonly bytes: number
  /** By collection number; undefined when damage keeps it from being known. */
  readonly live: ReadonlyMap<number, LiveIds> | undefined
}

/** Yields bytes as they are done. */
export function* checkDisk(
  fs: DriftFs,
  folder: string,
  { moment, log: given, beside }: DiskOptions,
): Generator<number, DiskReport> {
  const tally = new Tally()
  // Before the first yield: a later commit may remove the older one.
  const manifests = readManifests(fs, folder).filter(({ number }) => number <= (moment?.manifest ?? number))
  const database = checkFormat(fs, folder, tally.findings)
  yield tally.file(64)
  yield* checkManifests(manifests, database, tally)
  const decoded = manifests.flatMap(({ decoded }) => (decoded ? [decoded] : []))
  const [newest, before] = decoded
  if (!newest) return withoutManifest(fs, folder, manifests, database, tally)
  const { manifest } = newest
  const surveys = yield* checkFiles(fs, folder, manifest, before?.manifest, tally)
  const log = given ?? surveyLog(fs, folder, manifest)
  yield* checkLog(folder, log, beside, tally)
  const live = yield* liveIds(manifest, surveys, tally)
  if ('scan' in log) yield* replay(log, manifest, live, moment?.lastLsn, tally.findings)
  const kept = decoded.map(({ manifest }) => manifest)
  tally.findings.push(...strangers(fs, folder, kept, beside))
  const isKnown = 'scan' in log && surveys.every(({ damages }) => damages.every(damage => !isTruth(damage)))
  const digests = yield* digestsOf(live)
  return tally.report(isKnown ? digests : undefined)
}

/** What was looked at, and found. */
class Tally {
  readonly findings: Finding[] = []
  #files = 0
  #bytes = 0

  /** @returns its bytes. */
  file(bytes: number): number {
    this.#files++
    return this.part(bytes)
  }

  /** Of files that are counted by `more`. @returns the bytes. */
  part(bytes: number): number {
    this.#bytes += bytes
    return bytes
  }

  more(files: number): void {
    this.#files += files
  }

  report(live: DiskReport['live']): DiskReport {
    return { findings: this.findings, files: this.#files, bytes: this.#bytes, live }
  }
}

function* checkManifests(
  manifests: readonly ManifestFile[],
  database: Uint8Array | undefined,
  tally: Tally,
): Generator<number, void> {
  const { findings } = tally
  const [newest, before] = manifests.flatMap(({ decoded }) => (decoded ? [decoded] : []))
  for (const { name, damage, bytes } of manifests) {
    if (damage) findings.push(manifestFinding(name, damage, newest !== undefined))
    yield tally.file(bytes)
  }
  if (!newest) return
  if (database !== undefined && newest.manifest.database !== Buffer.from(database).toString('hex'))
    findings.push(fault('FORMAT', 'format', 'FORMAT and the manifest name two databases', { truth: false }))
  findings.push(...historyFindings(manifests, newest, before))
}

function withoutManifest(
  fs: DriftFs,
  folder: string,
  manifests: readonly ManifestFile[],
  database: Uint8Array | undefined,
  tally: Tally,
): DiskReport {
  if (manifests.length > 0) return tally.report(undefined)
  if (database !== undefined && isEmpty(fs, folder)) return tally.report(new Map())
  tally.findings.push(fault(folder, 'manifest', `${folder} holds no manifest`, { truth: true }))
  return tally.report(undefined)
}

/** @returns those of the newest manifest. */
function* checkFiles(
  fs: DriftFs,
  folder: string,
  manifest: Manifest,
  before: Manifest | undefined,
  tally: Tally,
): Generator<number, FileSurvey[]> {
  const known = new Map<string, FileSurvey>()
  const survey = (of: Manifest) => passed(surveyFiles(fs, folder, of, known), size => tally.part(size))
  const surveys = yield* survey(manifest)
  const older = before ? yield* survey(before) : []
  tally.more(known.size)
  const needed = namesOf(manifest)
  for (const survey of surveys) tally.findings.push(...fileFindings(survey, 'error'))
  for (const survey of older)
    if (!needed.has(survey.entry.name)) tally.findings.push(...fileFindings(survey, 'warning'))
  return surveys
}

function* checkLog(folder: string, log: LogSurvey, beside: boolean, tally: Tally): Generator<number, void> {
  if ('damage' in log) tally.findings.push(logFinding(log.damage, folder))
  else {
    for (const { bytes } of log.scan.files) yield tally.file(bytes)
    if (log.scan.torn && !beside) tally.findings.push(tornFinding(log.scan.torn))
  }
}

/** By collection number, what its files leave. */
function* liveIds(
  manifest: Manifest,
  surveys: readonly FileSurvey[],
  { findings }: Tally,
): Generator<number, Map<number, Set<string>>> {
  const live = new Map<number, Set<string>>()
  for (const collection of manifest.collections) {
    const of = surveys.filter(survey => survey.collection === collection)
    findings.push(...rangeFindings(collection))
    live.set(collection.number, idsOf(of, findings))
    yield 0
  }
  return live
}

function* digestsOf(live: ReadonlyMap<number, Set<string>>): Generator<number, Map<number, LiveIds>> {
  const digests = new Map<number, LiveIds>()
  for (const [number, ids] of live) {
    digests.set(number, digestOf(ids))
    yield 0
  }
  return digests
}

export function isTruth({ section, offset, bytes }: FileSurvey['damages'][number]): boolean {
  // A gap between sections holds nothing.
  if (section === undefined && offset > 0 && bytes < 4096) return false
  return isTruthSection(section)
}

function checkFormat(fs: DriftFs, folder: string, findings: Finding[]): Uint8Array | undefined {
  try {
    return readFormat(fs, folder)
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    if (code !== 'DRIFT_CORRUPT_FORMAT' && code !== 'DRIFT_FS_EIO') throw error
    findings.push(fault('FORMAT', 'format', message, { offset: 0, truth: false }))
    return undefined
  }
}

function manifestFinding(name: string, damage: Error, masked: boolean): Finding {
  const severity = masked ? 'warning' : 'error'
  return fault(name, 'manifest', damage.message, { severity, offset: offsetOf(damage) ?? 0, truth: !masked })
}

/** Whether the manifests in the folder come one after the other. */
function historyFindings(
  manifests: readonly ManifestFile[],
  newest: DecodedManifest,
  before: DecodedManifest | undefined,
): Finding[] {
  const findings: Finding[] = []
  const isNext = before?.manifest.number === newest.manifest.number - 1
  if (before && isNext && newest.previousCrc !== before.crc) {
    const name = manifestName(before.manifest.number)
    const message = 'the newest manifest follows another one'
    findings.push(fault(name, 'manifest', message, { severity: 'warning', truth: false }))
  }
  const merged = mergedBackup(manifests)
  if (merged !== undefined) {
    const message = `${merged} is of a backup that was copied over a database; copy it to an empty folder`
    findings.push(fault(merged, 'manifest', message, { truth: true }))
  }
  return findings
}

function fileFindings({ entry, kind, damages }: FileSurvey, severity: 'error' | 'warning'): Finding[] {
  return damages.map(place => {
    const { code, message } = place.damage as Error & { code?: string }
    if (code === 'DRIFT_FS_ENOENT') {
      const truth = kind !== 'checkpoint'
      return fault(entry.name, 'missing', `${entry.name} is not there`, {
        severity: truth ? severity : 'warning',
        truth,
      })
    }
    const truth = kind !== 'checkpoint' && isTruth(place)
    // An open refuses a segment whose parameters are damaged; it builds the rest anew.
    const opens =
      kind === 'checkpoint' ||
      place.section === BLOOM ||
      place.section === BLOOM_INDEX ||
      (!truth && place.section === undefined)
    return fault(entry.name, truth ? 'damaged' : 'derived', message, {
      severity: opens ? 'warning' : severity,
      offset: place.offset,
      truth,
    })
  })
}

const BLOOM = 7
const BLOOM_INDEX = 7 | 0x8000

function logFinding(damage: Error, folder: string): Finding {
  const { file, ...offset } = placeOfLogDamage(damage, folder)
  return fault(file, 'log', damage.message, { ...offset, truth: true })
}

function tornFinding({ file, offset }: { readonly file: number; readonly offset: number }): Finding {
  const message = 'the log ends in bytes that are not acknowledged'
  return fault(logName(file), 'torn', message, { severity: 'info', offset, truth: false })
}

/** Runs of writes of one collection follow each other. */
function rangeFindings({ name, segments }: CollectionEntry): Finding[] {
  const findings: Finding[] = []
  const inOrder = [...segments].sort((a, b) => a.lsnLow - b.lsnLow)
  for (const [i, file] of inOrder.entries()) {
    const before = inOrder[i - 1]
    if (!before || before.lsnHigh < file.lsnLow) continue
    const message = `collection '${name}': LSN ${file.lsnLow} to ${file.lsnHigh} overlaps ${before.name} with ${before.lsnLow} to ${before.lsnHigh}`
    findings.push(fault(file.name, 'lsn', message, { truth: true }))
  }
  return findings
}

/**
 * The ids that a collection's files leave. By the newest record: what compaction brought together begins before a deletion in its middle,
 * which an older segment still needs, and ends after it. A tombstone kills the id in older segments only.
 */
function idsOf(surveys: readonly FileSurvey[], findings: Finding[]): Set<string> {
  const live = new Set<string>()
  const files = surveys.filter(({ kind }) => kind !== 'checkpoint')
  const rank = ({ kind }: FileSurvey) => (kind === 'tombstones' ? 0 : 1)
  files.sort((a, b) => rangeOf(a).lsnHigh - rangeOf(b).lsnHigh || rank(a) - rank(b))
  for (const { kind, inspection, entry } of files) {
    const own = new Set<string>()
    for (const id of inspection?.ids ?? []) {
      if (!id) continue
      const key = keyOf(id)
      if (kind === 'tombstones') {
        live.delete(key)
        continue
      }
      if (own.has(key))
        findings.push(fault(entry.name, 'rows', `${entry.name} holds an id twice`, { truth: true }))
      own.add(key)
      live.add(key)
    }
  }
  return live
}

function rangeOf({ entry }: FileSurvey): { readonly lsnLow: number; readonly lsnHigh: number } {
  return entry as SegmentEntry
}

function* replay(
  log: Exclude<LogSurvey, { readonly damage: Error }>,
  manifest: Manifest,
  live: Map<number, Set<string>>,
  lastLsn = Number.MAX_SAFE_INTEGER,
  findings: Finding[],
): Generator<number, void> {
  const flushed = flushedUpTo(manifest)
  for (const { lsn, bytes } of log.scan.records) {
    if (lsn > lastLsn) return
    yield 0
    try {
      const operation = decodeOperation(bytes)
      const { collection } = operation
      if (lsn <= (flushed.get(collection) ?? 0)) continue
      if (operation.kind === 'create' && !live.has(collection)) live.set(collection, new Set())
      else if (operation.kind === 'drop') live.delete(collection)
      else if (operation.kind === 'upsert')
        for (const id of operation.batch.ids) live.get(collection)?.add(keyOf(encodeId(id)))
      else if (operation.kind === 'delete')
        for (const id of operation.ids) live.get(collection)?.delete(keyOf(encodeId(id)))
    } catch (error) {
      const { code, message } = error as Error & { code?: string }
      if (code === undefined) throw error
      findings.push(fault('the log', 'log', `record ${lsn}: ${message}`, { truth: true }))
    }
  }
}

/** Files of ours that no manifest names. */
function strangers(fs: DriftFs, folder: string, manifests: readonly Manifest[], beside: boolean): Finding[] {
  const named = new Set(manifests.flatMap(manifest => [...namesOf(manifest)]))
  const info = { severity: 'info', truth: false } as const
  // A writer may be at it.
  const unlessUsed = 'the next opening removes it if that is still so'
  const findings: Finding[] = []
  if (!beside) {
    for (const name of ownedFiles(fs, folder).filter(name => !named.has(name)))
      findings.push(fault(name, 'unnamed', `${name} is named by no manifest; ${unlessUsed}`, info))
    for (const name of unfinishedFiles(fs, folder))
      findings.push(
        fault(name, 'unfinished', `${name} is no part of the database yet or any more; ${unlessUsed}`, info),
      )
  }
  const aside = join(folder, 'quarantine')
  if (fs.stat(aside)?.kind === 'folder')
    for (const name of fs.list(aside))
      findings.push(fault(join('quarantine', name), 'quarantined', `${name} was put aside`, info))
  return findings
}

function isEmpty(fs: DriftFs, folder: string): boolean {
  return ownedFiles(fs, folder).length === 0
}

function digestOf(ids: Iterable<string>): LiveIds {
  let digest = 0n
  let rows = 0
  for (const id of ids) {
    digest ^= kernels.hash64(Buffer.from(id, 'latin1'))
    rows++
  }
  return { rows, digest }
}

/** One char a byte: a key of a Set. */
function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString('latin1')
}

function offsetOf(error: Error): number | undefined {
  return (error as { details?: { offset?: number } }).details?.offset
}

function fault(
  file: string,
  kind: Finding['kind'],
  message: string,
  more: Partial<Pick<Finding, 'severity' | 'offset'>> & Pick<Finding, 'truth'>,
): Finding {
  return { file, kind, severity: 'error', message, ...more }
}
