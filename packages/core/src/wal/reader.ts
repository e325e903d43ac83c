/**
 * The reading half of the log: walks every file, and decides whether what fails to validate is the torn end of a crash or damage.
 * Rule: a failure at batch b is damage when anything later proves that b had been durable (a frame's durable batch, the next file's
 * header, the caller's durableLsn), and a torn tail otherwise. A later batch number alone proves nothing: an unsynced mark may
 * vanish while the batch after it survives. Writes nothing. Follows docs/durability.md.
 */

import type { DriftFs } from '@drift/fs'
import { CoreError } from '../errors.js'
import {
  chainAfter,
  decodeFileHeader,
  decodeFrameHeader,
  decodeRecords,
  FIRST_IGNORABLE_TYPE,
  type FileHeader,
  FRAME_HEADER_BYTES,
  FRAME_TYPE,
  type FrameHeader,
  frameBytes,
  frameSeed,
  holdsFrames,
  looksWrittenHere,
  lowNonce,
  MAX_PAYLOAD_BYTES,
  PAGE_BYTES,
  payloadMatches,
  walFileNumber,
} from './format.js'
import type { WalEnd, WalFile, WalRecord } from './log.js'

export interface ReadWalOptions {
  /** 16 bytes. */
  readonly database: Uint8Array
  /** The lowest LSN that the caller still needs. */
  readonly floorLsn: number
  /** Records up to here were durable as the caller knows; their loss is damage. */
  readonly durableLsn?: number
  /** The caller knows of this file: it or a later one is there, or what was written to it is gone. */
  readonly knownFile?: number
}

export interface WalScan {
  /** In LSN order without a gap, from floorLsn on. Views of shared memory that the scan owns; may be walked more than once. */
  readonly records: Iterable<WalRecord>
  readonly end: WalEnd
  /** The log ended with a shutdown. When not, the next writer has to carry the records (WalLogOptions.carry). */
  readonly clean: boolean
  /** Where bytes follow that were written and never acknowledged. */
  readonly torn: { readonly file: number; readonly offset: number } | undefined
  readonly files: readonly WalFile[]
}

export type WalDamage =
  | 'database'
  | 'version'
  | 'header'
  | 'truncated'
  | 'missing'
  | 'link'
  | 'frame'
  | 'chain'
  | 'record'
  | 'lost'

interface FoundFile {
  readonly file: number
  readonly path: string
  readonly bytes: number
  /** Undefined for a prepared file that was never activated. */
  readonly header: FileHeader | undefined
}

interface NeededFile extends FoundFile {
  readonly header: FileHeader
}

/** Throws DRIFT_WAL_CORRUPT with { file, offset, kind } when records at or above floorLsn cannot be given as they were acknowledged. */
export function readWal(fs: DriftFs, folder: string, options: ReadWalOptions): WalScan {
  const found = findFiles(fs, folder, options.database)
  const needed = neededFiles(fs, found, folder, options.floorLsn)
  const walk = new Walk(options.floorLsn)
  for (const [index, file] of needed.entries()) walk.file(fs, file, needed[index + 1])
  const last = needed.at(-1)?.file ?? 0
  // The next file is there, prepared and under its name, before a file gets its last frame.
  if (walk.stop.type === FRAME_TYPE.rotate && !found.some(({ file }) => file > last))
    throw damage('missing', folder, 0, `file ${last} goes on in file ${last + 1}`)
  const { durableLsn = 0, knownFile = 0 } = options
  if (!found.some(({ header }) => header && header.file >= knownFile) && knownFile > 0)
    throw damage('missing', folder, 0, `file ${knownFile} was begun and is gone`)
  if (walk.lsn <= durableLsn)
    throw damage(
      'lost',
      needed.at(-1)?.path ?? folder,
      walk.stop.offset,
      `LSN ${walk.lsn} to ${durableLsn} are gone`,
    )
  const files = found.flatMap(({ header }) =>
    header ? [{ file: header.file, firstLsn: header.firstLsn, bytes: header.fileBytes }] : [],
  )
  return {
    records: walk.records,
    end: {
      file: last + 1,
      lsn: Math.max(walk.lsn, options.floorLsn),
      previousFile: last,
      batch: walk.batch,
      chain: walk.chain,
    },
    clean: needed.length === 0 || walk.stop.type === FRAME_TYPE.shutdown,
    torn: walk.stop.torn ? { file: last, offset: walk.stop.offset } : undefined,
    files,
  }
}

function findFiles(fs: DriftFs, folder: string, database: Uint8Array): FoundFile[] {
  const found: FoundFile[] = []
  for (const name of fs.list(folder)) {
    const file = walFileNumber(name)
    if (file === undefined) continue
    const path = `${folder}/${name}`
    const { bytes = 0, kind } = fs.stat(path) ?? {}
    if (kind === 'folder') throw damage('header', path, 0, 'it is a folder, not a file')
    const header = decodeFileHeader(readFile(fs, path, PAGE_BYTES))
    if (header === 'version') throw damage('version', path, 0, 'its format version is not known here')
    if (header && Buffer.compare(header.database, database) !== 0)
      throw damage('database', path, 0, 'it belongs to another database')
    if (header && header.file !== file)
      throw damage('header', path, 0, `it is the header of file ${header.file}`)
    if (bytes < 2 * PAGE_BYTES || bytes % PAGE_BYTES !== 0 || (header && header.fileBytes !== bytes))
      throw damage(
        'truncated',
        path,
        bytes,
        `it has ${bytes} bytes, expected ${header?.fileBytes ?? 'whole pages'}`,
      )
    found.push({ file, path, bytes, header })
  }
  return found
}

/** From the last file that begins at or below the floor: a file that was removed, or that a later one carries, may have come back. */
function neededFiles(fs: DriftFs, found: FoundFile[], folder: string, floorLsn: number): NeededFile[] {
  const first = found.findLastIndex(({ header }) => header && header.firstLsn <= floorLsn)
  const rest = first < 0 ? found : found.slice(first)
  const needed: NeededFile[] = []
  for (const [index, { header, ...file }] of rest.entries()) {
    if (header) needed.push({ ...file, header })
    // A header is on disk before its first frame, and only the newest file can be without one.
    else if (index < rest.length - 1 || holdsFrames(readFile(fs, file.path, file.bytes), file.file))
      throw damage('header', file.path, 0, 'its header is damaged')
  }
  if (first < 0 && (needed.length > 0 || floorLsn > 1))
    throw damage('missing', folder, 0, `no file holds LSN ${floorLsn}`)
  return needed
}

class Walk {
  readonly records: WalRecord[] = []
  stop: { readonly offset: number; readonly type: number; readonly torn: boolean } = {
    offset: 0,
    type: 0,
    torn: false,
  }
  /** The next LSN. */
  lsn: number
  /** Of the last frame. */
  batch = 0
  /** What the next frame has to carry. */
  chain = 0
  #previousFile = 0

  readonly #floorLsn: number

  constructor(floorLsn: number) {
    this.#floorLsn = floorLsn
    this.lsn = floorLsn
  }

  file(fs: DriftFs, { path, bytes, header }: NeededFile, next: FoundFile | undefined): void {
    if (this.#previousFile !== 0) this.#checkLink(path, header)
    while (this.records.length > 0 && this.records.at(-1)!.lsn >= header.firstLsn) this.records.pop()
    this.#previousFile = header.file
    this.lsn = header.firstLsn
    this.batch = header.firstBatch - 1
    this.chain = lowNonce(header.nonce)
    this.#frames(path, readWhole(fs, path, bytes, header), header, next?.header?.previousBatch ?? 0)
  }

  /** The header tells where its writer found the end of the file before: the same place as here, or something is lost. */
  #checkLink(path: string, header: FileHeader): void {
    const { previousFile, previousBatch, previousChain, firstLsn, firstBatch } = header
    if (previousFile !== this.#previousFile)
      throw damage('missing', path, 0, `it follows file ${previousFile}, found ${this.#previousFile}`)
    if (previousBatch !== this.batch || previousChain !== this.chain || firstBatch !== this.batch + 1)
      throw damage('link', path, 0, `it follows batch ${previousBatch}, found ${this.batch}`)
    // Lower is right after a crash: the file then carries records of the ones before.
    if (firstLsn > this.lsn)
      throw damage('missing', path, 0, `it begins at LSN ${firstLsn}, expected ${this.lsn}`)
  }

  #frames(path: string, bytes: Uint8Array, header: FileHeader, followedBatch: number): void {
    const headerAt = (offset: number): FrameHeader | undefined =>
      decodeFrameHeader(bytes.subarray(offset), () => frameSeed(header.nonce, header.file, offset))
    let offset = PAGE_BYTES
    let type = 0
    while (offset < bytes.length && type !== FRAME_TYPE.shutdown && type !== FRAME_TYPE.rotate) {
      const frame = headerAt(offset)
      if (!frame) break
      const payload = this.#checkFrame(path, offset, frame, bytes)
      if (!payloadMatches(payload, frame)) break
      this.#take(path, offset, frame, payload)
      type = frame.type
      offset += frameBytes(frame.payloadBytes)
    }
    const ended = type === FRAME_TYPE.shutdown || type === FRAME_TYPE.rotate
    if (!ended) {
      const expected = this.batch + 1
      if (followedBatch >= expected) throw lostBatch(path, offset, expected, 'the next file follows it')
      for (let later = offset + PAGE_BYTES; later < bytes.length; later += PAGE_BYTES)
        if ((headerAt(later)?.durableBatch ?? 0) >= expected)
          throw lostBatch(path, offset, expected, `the frame at ${later} knew it to be durable`)
    }
    this.stop = { offset, type, torn: !ended && hasMore(bytes.subarray(offset), header) }
  }

  /** A header that validates was written here by this log's writer, so nothing in it may be unexpected. @returns the payload. */
  #checkFrame(path: string, offset: number, frame: FrameHeader, bytes: Uint8Array): Uint8Array {
    const { payloadBytes } = frame
    const fits = payloadBytes <= MAX_PAYLOAD_BYTES && offset + frameBytes(payloadBytes) <= bytes.length
    if (!fits || payloadBytes % 8 !== 0)
      throw damage('frame', path, offset, `a payload of ${payloadBytes} bytes is not possible here`)
    if (frame.batch !== this.batch + 1 || frame.firstLsn !== this.lsn || frame.chain !== this.chain)
      throw damage(
        'chain',
        path,
        offset,
        `batch ${frame.batch} at LSN ${frame.firstLsn}, expected batch ${this.batch + 1} at LSN ${this.lsn}`,
      )
    return bytes.subarray(offset + FRAME_HEADER_BYTES, offset + FRAME_HEADER_BYTES + payloadBytes)
  }

  #take(path: string, offset: number, frame: FrameHeader, payload: Uint8Array): void {
    const known = frame.type >= FRAME_TYPE.data && frame.type <= FRAME_TYPE.rotate
    if (!known && frame.type < FIRST_IGNORABLE_TYPE)
      throw damage('frame', path, offset, `type ${frame.type} is not known here`)
    const records = frame.type < FIRST_IGNORABLE_TYPE ? decodeRecords(payload, frame.records) : []
    if (!records) throw damage('record', path, offset, `its payload is not ${frame.records} records`)
    for (const bytes of records) {
      if (this.lsn >= this.#floorLsn) this.records.push({ lsn: this.lsn, bytes })
      this.lsn += 1
    }
    this.batch = frame.batch
    this.chain = chainAfter(frame)
  }
}

/**
 * Into memory that the log's thread can read where it lies. Not a slab: its large pages are mostly ones never used before, which cost more to touch.
 * Beside its writer a file may be recycled meanwhile, also under an open descriptor. Its first page changes before any other, so it is
 * looked at again when all has been read: new frames over the old ones would look like a torn end.
 */
function readWhole(fs: DriftFs, path: string, bytes: number, { nonce }: FileHeader): Uint8Array {
  const into = new Uint8Array(new SharedArrayBuffer(bytes))
  const page = new Uint8Array(PAGE_BYTES)
  const fd = fs.open(path, 'read')
  try {
    const length = fs.read(fd, into, 0)
    const header = decodeFileHeader(page.subarray(0, fs.read(fd, page, 0)))
    if (typeof header !== 'object' || header.nonce !== nonce)
      throw damage('header', path, 0, 'it became another file while it was read')
    return into.subarray(0, length)
  } finally {
    fs.close(fd)
  }
}

function readFile(fs: DriftFs, path: string, bytes: number): Uint8Array {
  const into = new Uint8Array(bytes)
  const fd = fs.open(path, 'read')
  try {
    return into.subarray(0, fs.read(fd, into, 0))
  } finally {
    fs.close(fd)
  }
}

/** Something was written here behind the last frame; of a recycled file only where it shows in the first bytes of a frame. */
function hasMore(bytes: Uint8Array, header: FileHeader): boolean {
  if (!header.isRecycled) return !isZero(bytes)
  for (let at = 0; at < bytes.length; at += PAGE_BYTES)
    if (looksWrittenHere(bytes.subarray(at, at + FRAME_HEADER_BYTES), header)) return true
  return false
}

const ZEROS = new Uint8Array(64 * 1024)

function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const part = bytes.subarray(at, at + ZEROS.length)
    if (Buffer.compare(part, ZEROS.subarray(0, part.length)) !== 0) return false
  }
  return true
}

function lostBatch(path: string, offset: number, batch: number, proof: string): CoreError {
  return damage('lost', path, offset, `batch ${batch} was durable and does not validate: ${proof}`)
}

function damage(kind: WalDamage, file: string, offset: number, reason: string): CoreError {
  return new CoreError('DRIFT_WAL_CORRUPT', `${file} at ${offset}: ${reason}`, { file, offset, kind })
}
