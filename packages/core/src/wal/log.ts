/**
 * The writing half of the log, synchronous. Rules: a page that holds acknowledged bytes which anybody needs is never written again; the header of
 * a file, which drafts.ts makes, is on disk before its first frame; a file is synced before the next one begins.
 * After an error the log is of unknown state and the caller stops using it, unless `isRetriable` says that nothing was taken.
 * Follows docs/durability.md.
 */

import { type DriftFs, FsError, isShortage } from '@drift/fs'
import { CoreError } from '../errors.js'
import { type Draft, WalDrafts } from './drafts.js'
import {
  decodeFileHeader,
  encodeFileHeader,
  encodeFrameHeader,
  encodeRecords,
  FRAME_HEADER_BYTES,
  FRAME_TYPE,
  type FrameType,
  frameBytes,
  frameSeed,
  isWalDraft,
  lowNonce,
  PAGE_BYTES,
  roundUp,
  storedBytes,
  walDraftName,
  walFileName,
  walFileNumber,
} from './format.js'

const DEFAULT_FILE_BYTES: number = 64 * 1024 * 1024
/** Opening waits for the zeros of the first file, so it is small. */
const FIRST_FILE_BYTES = 4 * 1024 * 1024
/** The next ones are made while records are written, and so are at most so many times as large as the one that is being filled. */
const FILE_GROWTH = 4
/** Records that are waiting are written together up to this size, so that one frame stays cheap to hold in memory. */
const GROUP_BYTES: number = 16 * 1024 * 1024
/** Where an older file may yet be recycled, the next one is begun when so much of this one is in use. */
const RECYCLE_SHARE = 2
/** A file keeps room for its header, one frame, one mark and its last frame. */
const MIN_FILE_BYTES = 4 * PAGE_BYTES
/** Syncs of what is acknowledged or named. That of a file which holds only zeros is an `fsync`, and the file is made anew. */
const FINAL: ReadonlySet<string> = new Set(['fdatasync', 'syncFolder'])

export interface WalRecord {
  readonly lsn: number
  readonly bytes: Uint8Array
}

export interface WalFile {
  readonly file: number
  readonly firstLsn: number
  readonly bytes: number
}

/** Where a log ends, and what links the next file to it. */
export interface WalEnd {
  /** Number of the next file. */
  readonly file: number
  /** The next LSN. */
  readonly lsn: number
  readonly previousFile: number
  /** Of the last frame. */
  readonly batch: number
  readonly chain: number
}

export interface WalLogOptions {
  readonly fs: DriftFs
  readonly folder: string
  readonly database: Uint8Array
  readonly firstFile: number
  readonly firstLsn: number
  readonly previous?: WalEnd
  /** Random; each file derives its own from it. */
  readonly nonce: bigint
  readonly fileBytes?: number
  /**
   * Records up to firstLsn - 1 of a log that did not end cleanly. They become the start of the new file, which appears whole or not
   * at all and stands for the files before it: what a crashed process had written may have been in memory only.
   */
  readonly carry?: Iterable<WalRecord>
}

interface ActiveFile extends WalFile {
  readonly fd: number
  readonly nonce: bigint
}

export class WalLog {
  readonly #options: WalLogOptions
  readonly #fileBytes: number
  #older: WalFile[]
  #active!: ActiveFile
  readonly #drafts: WalDrafts
  /** Offset of the next frame. */
  #offset = 0
  #lsn: number
  #batch: number
  #durableBatch: number
  #chain: number
  #lastDataBatch = 0
  /** Highest durable batch that a frame or file header on its way to disk tells. */
  #toldBatch = 0
  #unsynced = false
  /** The active file has had its last frame. */
  #sealed = false
  /** A frame behind the last one may be there in part. */
  #half = false
  /** The first file, which nobody looks for under its name yet. */
  #first: Draft | undefined
  #scratch = new Uint8Array(PAGE_BYTES)

  /** Begins a new file, also when `previous` has room. The folder exists. */
  static open(options: WalLogOptions): WalLog {
    const log = WalLog.draft(options)
    log.publish()
    return log
  }

  /** The same, and nobody knows of the file before `publish`: until then there is a draft, which any opening removes. */
  static draft(options: WalLogOptions): WalLog {
    checkOptions(options)
    const log = new WalLog(options)
    try {
      log.#begin()
    } catch (cause) {
      log.withdraw()
      throw cause
    }
    return log
  }

  /** The draft is the log, durably. Nothing is written to it before. */
  publish(): void {
    const draft = this.#first!
    try {
      this.#drafts.publish(draft)
    } catch (cause) {
      this.abandon()
      throw cause
    }
    this.#first = undefined
  }

  /** The draft is not to be the log: it goes, as far as the disk lets it, and a later opening removes what is left. */
  withdraw(): void {
    const { fs } = this.#options
    const draft = this.#drafts.spare ?? this.#first
    this.abandon()
    if (draft === undefined || draft.isGone) return
    try {
      fs.remove(this.#path(walDraftName(draft.file)))
    } catch {
      // Whoever withdraws has a reason to tell of that is worse.
    }
  }

  private constructor(options: WalLogOptions) {
    this.#options = options
    this.#fileBytes = options.fileBytes ?? DEFAULT_FILE_BYTES
    this.#drafts = new WalDrafts(options.fs, options.folder, this.#fileBytes)
    this.#lsn = options.firstLsn
    this.#batch = options.previous?.batch ?? 0
    this.#durableBatch = this.#batch
    this.#chain = options.previous?.chain ?? 0
    this.#older = olderFiles(options)
  }

  /** The LSN of the next record. */
  get nextLsn(): number {
    return this.#lsn
  }

  /** Number of the active file. */
  get active(): number {
    return this.#active.file
  }

  get fileCount(): number {
    return this.#older.length + 1
  }

  /** Oldest first; the last one is active. */
  files(): WalFile[] {
    const { file, firstLsn, bytes } = this.#active
    return [...this.#older, { file, firstLsn, bytes }]
  }

  /**
   * Writes one frame, in the next file when it does not fit. Not synced. Their payload is at most MAX_PAYLOAD_BYTES.
   * After an error that `isRetriable` the same call may be made again: the frame is written over what there is of it.
   */
  append(records: readonly Uint8Array[]): void {
    const payload = records.reduce((sum, record) => sum + storedBytes(record.length), 0)
    const needed = frameBytes(payload) + PAGE_BYTES
    if (this.#sealed || this.#offset + needed > this.#active.bytes) this.#next(PAGE_BYTES + needed)
    this.#write(FRAME_TYPE.data, records, payload)
    this.#lastDataBatch = this.#batch
  }

  /** After an error that `isRetriable`: what the call was to write is not to be found, also where all but its padding had been written. */
  discard(): void {
    if (!this.#half) return
    this.#write(FRAME_TYPE.mark)
    this.sync()
  }

  sync(): void {
    if (!this.#unsynced) return
    this.#options.fs.fdatasync(this.#active.fd)
    this.#unsynced = false
    this.#durableBatch = this.#batch
  }

  /** The disk tells whether the active file is still in its folder. */
  get canMiss(): boolean {
    return this.#options.fs.isNameless !== undefined
  }

  /** @throws CoreError DRIFT_WAL_CORRUPT when the active file was removed: what is written to it nobody will find. */
  assertThere(): void {
    const { fd, file } = this.#active
    if (!this.#options.fs.isNameless?.(fd)) return
    const path = this.#path(walFileName(file))
    throw new CoreError('DRIFT_WAL_CORRUPT', `${path} was removed while it was written`, {
      file: path,
      offset: 0,
      kind: 'missing',
    })
  }

  /** The last records are durable and nothing on disk says so yet: damage to them would look like a torn tail. */
  get wantsMark(): boolean {
    const told = this.#toldBatch >= this.#lastDataBatch || this.#durableBatch < this.#lastDataBatch
    return !told && !this.#sealed && this.#offset + 2 * PAGE_BYTES <= this.#active.bytes
  }

  /** Not synced: it only has to arrive before damage does. */
  mark(): void {
    this.#write(FRAME_TYPE.mark)
  }

  /** Later records go to a new file; nothing happens when the active one holds none. */
  rotate(): void {
    if (this.#sealed || this.#lsn > this.#active.firstLsn) this.#next(0)
  }

  /** A good part of the active file is in use, and the next one is not ready. */
  get wantsSpare(): boolean {
    const waits = !this.#drafts.hasKept && this.#older.some(file => this.#isRecyclable(file))
    const share = waits ? RECYCLE_SHARE : FILE_GROWTH
    return !this.#drafts.spare?.published && this.#offset > this.#active.bytes / share
  }

  /**
   * One step of making the next file. When it throws, the log is as good as before and the file is made when it is needed; but not after an
   * error that `isFinal`.
   */
  prepareStep(): void {
    this.#drafts.makeStep(this.#active.file + 1, this.#nextBytes)
  }

  /**
   * The same, with the writing in another thread; a larger step. Until it resolves the log may do whatever it does: where that needs the
   * file, it makes another, and this one is nobody's.
   */
  async prepareAside(): Promise<void> {
    await this.#drafts.makeAside(this.#active.file + 1, this.#nextBytes)
  }

  get #nextBytes(): number {
    return Math.min(this.#fileBytes, Math.max(FIRST_FILE_BYTES, FILE_GROWTH * this.#active.bytes))
  }

  /** Deletes the files that only hold records below `lsn`, never the active one, or keeps one to be recycled. Durable whenever the folder is. */
  removeBelow(lsn: number): void {
    let later = this.#active.firstLsn
    const kept: WalFile[] = []
    const removed: WalFile[] = []
    for (const file of [...this.#older].reverse()) {
      if (later <= lsn) removed.unshift(file)
      else kept.unshift(file)
      later = Math.min(later, file.firstLsn)
    }
    for (const { file, bytes } of removed) {
      if (!this.#drafts.hasKept && this.#isRecyclable({ file, bytes })) this.#drafts.keep(file)
      else this.#options.fs.remove(this.#path(walFileName(file)))
      this.#older = this.#older.filter(other => other.file !== file)
    }
  }

  /** Everything is durable and says so. */
  close(): void {
    const { spare } = this.#drafts
    if (!this.#sealed) this.#write(FRAME_TYPE.shutdown)
    this.#options.fs.fsync(this.#active.fd)
    this.abandon()
    this.#drafts.remove(spare)
  }

  /** Frees the descriptors and leaves the files as they are. */
  abandon(): void {
    try {
      this.#drafts.abandon()
    } finally {
      if (this.#active) this.#options.fs.close(this.#active.fd)
    }
  }

  #begin(): void {
    const { fs, folder, firstFile, carry = [] } = this.#options
    for (const name of fs.list(folder)) if (isWalDraft(name)) fs.remove(this.#path(name))
    const records = [...carry]
    const groups = inGroups(records.map(record => record.bytes))
    const carried = groups.reduce((sum, group) => sum + frameBytes(group.payload), 0)
    const draft = this.#drafts.begin(firstFile)
    this.#first = draft
    // Nobody appends to what is carried, so header, frames and mark are written where no zeros were.
    if (carried > 0) draft.bytes = 2 * PAGE_BYTES + carried
    this.#drafts.extend(
      draft,
      Math.max(Math.min(this.#fileBytes, FIRST_FILE_BYTES), MIN_FILE_BYTES + carried),
    )
    this.#drafts.syncZeros(draft)
    this.#lsn = records[0]?.lsn ?? this.#lsn
    if (!this.#options.carry) this.#syncPrevious()
    this.#activate(draft)
    for (const group of groups) this.append(group.records)
    if (groups.length > 0) {
      this.#durableBatch = this.#batch // Nobody sees the file before all of it is synced.
      this.mark()
      this.sync()
    }
  }

  /** The header says where the file before ends, and the last frame there may be in memory only: its process was killed before the last sync. */
  #syncPrevious(): void {
    const { fs, previous } = this.#options
    if (previous === undefined || previous.previousFile === 0) return
    const fd = fs.open(this.#path(walFileName(previous.previousFile)), 'write')
    try {
      fs.fdatasync(fd)
    } finally {
      fs.close(fd)
    }
  }

  #next(bytes: number): void {
    const { fs } = this.#options
    const { file, firstLsn, bytes: filled, fd } = this.#active
    // The next file first: when there is no room for it, this one has not changed.
    const draft = this.#drafts.begin(file + 1)
    this.#drafts.extend(draft, Math.max(this.#nextBytes, roundUp(bytes, PAGE_BYTES)))
    this.#drafts.syncZeros(draft)
    if (!draft.published) this.#drafts.publish(draft)
    if (!this.#sealed) this.#write(FRAME_TYPE.rotate)
    this.#sealed = true
    this.sync()
    this.#activate(draft)
    this.#older.push({ file, firstLsn, bytes: filled })
    fs.close(fd)
  }

  /** Writes the header and makes the file the active one. */
  #activate(draft: Draft): void {
    const { fs, database, nonce: seed, previous } = this.#options
    const nonce = mix64(seed + BigInt(draft.file))
    const header = {
      database,
      file: draft.file,
      nonce,
      fileBytes: draft.bytes,
      isRecycled: draft.isRecycled,
      firstLsn: this.#lsn,
      firstBatch: this.#batch + 1,
      previousFile: this.#active?.file ?? previous?.previousFile ?? 0,
      previousBatch: this.#batch,
      previousChain: this.#chain,
    }
    fs.write(draft.fd, encodeFileHeader(header), 0)
    fs.fdatasync(draft.fd)
    this.#active = { file: draft.file, fd: draft.fd, nonce, firstLsn: this.#lsn, bytes: draft.bytes }
    this.#drafts.use()
    this.#sealed = false
    this.#offset = PAGE_BYTES
    this.#chain = lowNonce(nonce)
    this.#toldBatch = this.#batch
  }

  #write(type: FrameType, records: readonly Uint8Array[] = [], payloadBytes = 0): void {
    const { fd, file, nonce } = this.#active
    const total = frameBytes(payloadBytes)
    if (this.#scratch.length < total) this.#scratch = new Uint8Array(total)
    const frame = this.#scratch.subarray(0, total)
    encodeRecords(records, frame.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + payloadBytes))
    frame.fill(0, FRAME_HEADER_BYTES + payloadBytes)
    const header = {
      type,
      payloadBytes,
      firstLsn: this.#lsn,
      records: records.length,
      lowNonce: lowNonce(nonce),
      batch: this.#batch + 1,
      durableBatch: this.#durableBatch,
      chain: this.#chain,
    }
    const chain = encodeFrameHeader(frame, header, frameSeed(nonce, file, this.#offset))
    this.#unsynced = true
    this.#half = true
    this.#options.fs.write(fd, frame, this.#offset)
    this.#half = false
    this.#offset += total
    this.#lsn += records.length
    this.#batch += 1
    this.#chain = chain
    this.#toldBatch = this.#durableBatch
  }

  /** Of the size of most files, so that the next one need not grow; and made here, since those of before may have been linked elsewhere. */
  #isRecyclable({ file, bytes }: Pick<WalFile, 'file' | 'bytes'>): boolean {
    return bytes === this.#fileBytes && file >= this.#options.firstFile
  }

  #path(name: string): string {
    return `${this.#options.folder}/${name}`
  }
}

/**
 * The log is as it was before the call, and the call may be made again: the disk had no room. Not so when a sync of acknowledged
 * bytes says so, because then nobody knows what it had written.
 */
export function isRetriable(error: unknown): boolean {
  return isShortage(error) && !isFinal(error)
}

/** A sync failed: nobody knows what is on disk, and another sync would not tell. */
export function isFinal(error: unknown): boolean {
  return error instanceof FsError && FINAL.has(error.operation)
}

/** Records in runs of at most GROUP_BYTES, a larger record alone: what one frame takes. */
export function inGroups(records: readonly Uint8Array[]): { records: Uint8Array[]; payload: number }[] {
  const groups: { records: Uint8Array[]; payload: number }[] = []
  for (const record of records) {
    const bytes = storedBytes(record.length)
    const group = groups.at(-1)
    if (group && group.payload + bytes <= GROUP_BYTES) {
      group.records.push(record)
      group.payload += bytes
    } else groups.push({ records: [record], payload: bytes })
  }
  return groups
}

function checkOptions({
  database,
  fileBytes = DEFAULT_FILE_BYTES,
  firstFile,
  firstLsn,
}: WalLogOptions): void {
  if (database.length !== 16)
    throw new CoreError('DRIFT_WAL_ARGUMENT', `database has ${database.length} bytes, expected 16`)
  if (!Number.isSafeInteger(fileBytes) || fileBytes < MIN_FILE_BYTES || fileBytes % PAGE_BYTES !== 0)
    throw new CoreError(
      'DRIFT_WAL_ARGUMENT',
      `fileBytes is ${fileBytes}, expected a multiple of ${PAGE_BYTES} from ${MIN_FILE_BYTES} on`,
    )
  for (const [name, value] of Object.entries({ firstFile, firstLsn }))
    if (!Number.isSafeInteger(value) || value < 1)
      throw new CoreError('DRIFT_WAL_ARGUMENT', `${name} is ${value}, expected a whole number from 1 on`)
}

/** The files below firstFile that were ever activated. A file from firstFile on that holds a header is not ours to replace. */
function olderFiles({ fs, folder, firstFile }: WalLogOptions): WalFile[] {
  const older: WalFile[] = []
  for (const name of fs.list(folder)) {
    const file = walFileNumber(name)
    if (file === undefined) continue
    const page = new Uint8Array(PAGE_BYTES)
    const fd = fs.open(`${folder}/${name}`, 'read')
    try {
      fs.read(fd, page, 0)
    } finally {
      fs.close(fd)
    }
    const header = decodeFileHeader(page)
    if (header === undefined) continue
    if (file >= firstFile)
      throw new CoreError(
        'DRIFT_WAL_EXISTS',
        `${folder}/${name} is in use, and the log is to begin at file ${firstFile}`,
      )
    if (header !== 'version') older.push({ file, firstLsn: header.firstLsn, bytes: header.fileBytes })
  }
  return older
}

/** The finisher of splitmix64: near seeds give far values. */
function mix64(seed: bigint): bigint {
  let value = BigInt.asUintN(64, seed + 0x9e3779b97f4a7c15n)
  value = BigInt.asUintN(64, (value ^ (value >> 30n)) * 0xbf58476d1ce4e5b9n)
  value = BigInt.asUintN(64, (value ^ (value >> 27n)) * 0x94d049bb133111ebn)
  return value ^ (value >> 31n)
}
