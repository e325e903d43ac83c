/**
 * Bytes of a write-ahead log file, little-endian. Rule: nothing a damaged or stale byte says is used before a CRC32C has vouched for it.
 *
 *   file     [ file header: one page ][ frame ][ frame ] ... [ zeros up to file_size ]      a page is 4096 bytes
 *            or, in place of the zeros, what the file held as an earlier one: a recycled file, whose first page is zeros and whose second
 *            is the claim until it is begun
 *   frame    [ frame header, 56 bytes ][ payload ][ zeros up to the page boundary ]           one frame = one group commit
 *   payload  [ u32 length | u32 0 | record, zeros up to 8 ] ...                               one record = one batch = one LSN
 *
 *   file header   0 magic "DRFTWAL1"   8 u16 version  10 u16 header bytes  12 u32 flags: 1 recycled  16 u8[16] database
 *                32 u64 file number   40 u64 nonce    48 u64 file bytes    56 u64 first LSN  64 u64 first batch
 *                72 u64 previous file 80 u64 previous last batch           88 u32 previous chain  92 u32 page bytes
 *                96 u8[32] reserved   4092 u32 CRC of 0..4091
 *
 *   claim         0 magic "DRFTWALR"   8 u64 file number   16 u32 CRC of 0..15
 *
 *   frame header  0 u32 CRC of 4..55, seeded by nonce, file number and frame offset          4 u32 magic "DFR1"
 *                 8 u32 payload bytes   12 u8 type  13 u8 flags  14 u16 version  16 u64 first LSN  24 u32 records
 *                28 u32 low nonce       32 u64 batch             40 u64 durable batch
 *                48 u32 chain: CRC of the previous frame's two CRCs; in the first frame the low nonce
 *                52 u32 CRC of the payload, seeded by the low nonce
 *
 * The seed makes a stale, copied or misdirected frame invalid; the chain finds a missing one; "durable batch" is the highest batch
 * whose sync had returned when the frame was built, and is what later tells damage from a torn tail.
 */

import { kernels } from '@drift/native'

/** Page and alignment: a write never touches a disk block that holds acknowledged bytes. */
export const PAGE_BYTES = 4096
export const FRAME_HEADER_BYTES = 56
/** Bounds what a reader allocates for one frame. */
export const MAX_PAYLOAD_BYTES: number = 64 * 1024 * 1024
/** A frame's payload less the length in front of its only record. */
export const MAX_RECORD_BYTES: number = MAX_PAYLOAD_BYTES - 8

export const FRAME_TYPE = { data: 1, mark: 2, shutdown: 3, rotate: 4 } as const
export type FrameType = (typeof FRAME_TYPE)[keyof typeof FRAME_TYPE]
/** Types from here on may be added later and carry nothing that a reader needs. */
export const FIRST_IGNORABLE_TYPE = 128

const VERSION = 1
const FILE_MAGIC = new TextEncoder().encode('DRFTWAL1')
const CLAIM_MAGIC = new TextEncoder().encode('DRFTWALR')
const RECYCLED = 1
const FRAME_MAGIC = 0x31524644
const RECORD_HEADER_BYTES = 8
const CLAIM_BYTES = 20

const FILE = {
  magic: 0,
  version: 8,
  headerBytes: 10,
  flags: 12,
  database: 16,
  file: 32,
  nonce: 40,
  fileBytes: 48,
  firstLsn: 56,
  firstBatch: 64,
  previousFile: 72,
  previousBatch: 80,
  previousChain: 88,
  pageBytes: 92,
  crc: 4092,
} as const

const FRAME = {
  crc: 0,
  magic: 4,
  payloadBytes: 8,
  type: 12,
  version: 14,
  firstLsn: 16,
  records: 24,
  lowNonce: 28,
  batch: 32,
  durableBatch: 40,
  chain: 48,
  payloadCrc: 52,
} as const

export interface FileHeader {
  /** 16 bytes. */
  readonly database: Uint8Array
  readonly file: number
  readonly nonce: bigint
  readonly fileBytes: number
  /** Behind its end lies what it held as an earlier file, and no zeros. */
  readonly isRecycled: boolean
  readonly firstLsn: number
  readonly firstBatch: number
  /** 0 when there is none. */
  readonly previousFile: number
  readonly previousBatch: number
  /** The chain that the previous file's next frame would have had. */
  readonly previousChain: number
}

export interface FrameHeader {
  readonly type: number
  readonly payloadBytes: number
  readonly firstLsn: number
  readonly records: number
  readonly lowNonce: number
  readonly batch: number
  readonly durableBatch: number
  readonly chain: number
  readonly payloadCrc: number
  readonly crc: number
}

/** @returns one page. */
export function encodeFileHeader(header: FileHeader): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES)
  const view = viewOf(page)
  page.set(FILE_MAGIC, FILE.magic)
  view.setUint16(FILE.version, VERSION, true)
  view.setUint16(FILE.headerBytes, PAGE_BYTES, true)
  view.setUint32(FILE.flags, header.isRecycled ? RECYCLED : 0, true)
  page.set(header.database, FILE.database)
  setU64(view, FILE.file, header.file)
  view.setBigUint64(FILE.nonce, header.nonce, true)
  setU64(view, FILE.fileBytes, header.fileBytes)
  setU64(view, FILE.firstLsn, header.firstLsn)
  setU64(view, FILE.firstBatch, header.firstBatch)
  setU64(view, FILE.previousFile, header.previousFile)
  setU64(view, FILE.previousBatch, header.previousBatch)
  view.setUint32(FILE.previousChain, header.previousChain, true)
  view.setUint32(FILE.pageBytes, PAGE_BYTES, true)
  view.setUint32(FILE.crc, kernels.crc32c(page.subarray(0, FILE.crc)), true)
  return page
}

/** @returns undefined when the page is no header; a header of a version that is not known here as 'version'. */
export function decodeFileHeader(page: Uint8Array): FileHeader | 'version' | undefined {
  if (page.length < PAGE_BYTES || FILE_MAGIC.some((byte, index) => page[index] !== byte)) return undefined
  const view = viewOf(page)
  if (view.getUint32(FILE.crc, true) !== kernels.crc32c(page.subarray(0, FILE.crc))) return undefined
  if (view.getUint16(FILE.version, true) !== VERSION || view.getUint32(FILE.pageBytes, true) !== PAGE_BYTES)
    return 'version'
  const header: FileHeader = {
    database: page.slice(FILE.database, FILE.database + 16),
    file: getU64(view, FILE.file),
    nonce: view.getBigUint64(FILE.nonce, true),
    fileBytes: getU64(view, FILE.fileBytes),
    isRecycled: (view.getUint32(FILE.flags, true) & RECYCLED) !== 0,
    firstLsn: getU64(view, FILE.firstLsn),
    firstBatch: getU64(view, FILE.firstBatch),
    previousFile: getU64(view, FILE.previousFile),
    previousBatch: getU64(view, FILE.previousBatch),
    previousChain: view.getUint32(FILE.previousChain, true),
  }
  return areSafe(header.file, header.fileBytes, header.firstLsn, header.firstBatch, header.previousBatch)
    ? header
    : undefined
}

/** @returns the first two pages of a file that is recycled as this one: no header yet, and the claim, which its first frame replaces. */
export function encodeClaim(file: number): Uint8Array {
  const pages = new Uint8Array(2 * PAGE_BYTES)
  const claim = pages.subarray(PAGE_BYTES, PAGE_BYTES + CLAIM_BYTES)
  const view = viewOf(claim)
  claim.set(CLAIM_MAGIC)
  setU64(view, 8, file)
  view.setUint32(16, kernels.crc32c(claim.subarray(0, 16)), true)
  return pages
}

/** Whether a file without a header holds frames that were written to it under this number, or held some until it was claimed for another. */
export function holdsFrames(bytes: Uint8Array, file: number): boolean {
  const claimed = claimOf(bytes.subarray(PAGE_BYTES))
  if (claimed !== undefined) return claimed !== file
  for (let at = PAGE_BYTES; at < bytes.length; at += PAGE_BYTES)
    if (looksLikeFrame(bytes.subarray(at, at + FRAME_HEADER_BYTES))) return true
  return false
}

/** The number that a file was claimed for; undefined where there is no claim. */
function claimOf(page: Uint8Array): number | undefined {
  if (page.length < CLAIM_BYTES || CLAIM_MAGIC.some((byte, index) => page[index] !== byte)) return undefined
  const view = viewOf(page)
  return view.getUint32(16, true) === kernels.crc32c(page.subarray(0, 16)) ? getU64(view, 8) : undefined
}

/** The seed of a frame header's CRC. */
export function frameSeed(nonce: bigint, file: number, offset: number): number {
  const bytes = new Uint8Array(24)
  const view = viewOf(bytes)
  view.setBigUint64(0, nonce, true)
  setU64(view, 8, file)
  setU64(view, 16, offset)
  return kernels.crc32c(bytes)
}

/**
 * Fills in both CRCs and the header of a frame whose payload already lies at FRAME_HEADER_BYTES.
 * @returns the chain of the frame after it.
 */
export function encodeFrameHeader(
  frame: Uint8Array,
  header: Omit<FrameHeader, 'payloadCrc' | 'crc'>,
  seed: number,
): number {
  const view = viewOf(frame)
  const payload = frame.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + header.payloadBytes)
  const payloadCrc = kernels.crc32c(payload, header.lowNonce)
  view.setUint32(FRAME.magic, FRAME_MAGIC, true)
  view.setUint32(FRAME.payloadBytes, header.payloadBytes, true)
  view.setUint16(FRAME.type, header.type, true) // type and flags, which are 0
  view.setUint16(FRAME.version, VERSION, true)
  setU64(view, FRAME.firstLsn, header.firstLsn)
  view.setUint32(FRAME.records, header.records, true)
  view.setUint32(FRAME.lowNonce, header.lowNonce, true)
  setU64(view, FRAME.batch, header.batch)
  setU64(view, FRAME.durableBatch, header.durableBatch)
  view.setUint32(FRAME.chain, header.chain, true)
  view.setUint32(FRAME.payloadCrc, payloadCrc, true)
  const crc = kernels.crc32c(frame.subarray(FRAME.magic, FRAME_HEADER_BYTES), seed)
  view.setUint32(FRAME.crc, crc, true)
  return nextChain(crc, payloadCrc)
}

/** @param page - from the frame's offset on. @returns undefined when no frame was written here with this seed. */
export function decodeFrameHeader(page: Uint8Array, seed: () => number): FrameHeader | undefined {
  if (!looksLikeFrame(page)) return undefined
  const view = viewOf(page)
  const crc = view.getUint32(FRAME.crc, true)
  if (crc !== kernels.crc32c(page.subarray(FRAME.magic, FRAME_HEADER_BYTES), seed())) return undefined
  const header: FrameHeader = {
    type: page[FRAME.type]!,
    payloadBytes: view.getUint32(FRAME.payloadBytes, true),
    firstLsn: getU64(view, FRAME.firstLsn),
    records: view.getUint32(FRAME.records, true),
    lowNonce: view.getUint32(FRAME.lowNonce, true),
    batch: getU64(view, FRAME.batch),
    durableBatch: getU64(view, FRAME.durableBatch),
    chain: view.getUint32(FRAME.chain, true),
    payloadCrc: view.getUint32(FRAME.payloadCrc, true),
    crc,
  }
  return areSafe(header.firstLsn, header.batch, header.durableBatch) ? header : undefined
}

/** The magic is there; the only test that works when the file header, and with it the nonce, is lost. */
function looksLikeFrame(page: Uint8Array): boolean {
  return page.length >= FRAME_HEADER_BYTES && viewOf(page).getUint32(FRAME.magic, true) === FRAME_MAGIC
}

/** The same, and it says that it is of this file and not of one that was recycled as it. */
export function looksWrittenHere(page: Uint8Array, { isRecycled, nonce }: FileHeader): boolean {
  if (!looksLikeFrame(page)) return false
  return !isRecycled || viewOf(page).getUint32(FRAME.lowNonce, true) === lowNonce(nonce)
}

export function payloadMatches(payload: Uint8Array, header: FrameHeader): boolean {
  return kernels.crc32c(payload, header.lowNonce) === header.payloadCrc
}

export function chainAfter(header: FrameHeader): number {
  return nextChain(header.crc, header.payloadCrc)
}

export function lowNonce(nonce: bigint): number {
  return Number(nonce & 0xffff_ffffn)
}

/** Bytes of one record in a payload. */
export function storedBytes(bytes: number): number {
  return RECORD_HEADER_BYTES + roundUp(bytes, 8)
}

/** Bytes of a frame in its file. */
export function frameBytes(payloadBytes: number): number {
  return roundUp(FRAME_HEADER_BYTES + payloadBytes, PAGE_BYTES)
}

/** Writes the records behind each other into `payload`, which they fill. */
export function encodeRecords(records: readonly Uint8Array[], payload: Uint8Array): void {
  const view = viewOf(payload)
  let at = 0
  for (const record of records) {
    const end = at + storedBytes(record.length)
    view.setUint32(at, record.length, true)
    view.setUint32(at + 4, 0, true)
    payload.set(record, at + RECORD_HEADER_BYTES)
    payload.fill(0, at + RECORD_HEADER_BYTES + record.length, end)
    at = end
  }
}

/** @returns views into `payload`; undefined when it is not exactly `count` records. */
export function decodeRecords(payload: Uint8Array, count: number): Uint8Array[] | undefined {
  const view = viewOf(payload)
  const records: Uint8Array[] = []
  let at = 0
  while (at + RECORD_HEADER_BYTES <= payload.length) {
    const from = at + RECORD_HEADER_BYTES
    const length = view.getUint32(at, true)
    at = from + roundUp(length, 8)
    if (at > payload.length) return undefined
    records.push(payload.subarray(from, from + length))
  }
  return at === payload.length && records.length === count ? records : undefined
}

export function walFileName(file: number): string {
  return `wal-${String(file).padStart(16, '0')}.drw`
}

/** The name of a file that is being made. */
export function walDraftName(file: number): string {
  return `tmp-${walFileName(file)}`
}

/** A file in the making: whoever opens the log for writing removes what an earlier one left. */
export function isWalDraft(name: string): boolean {
  return /^tmp-wal-\d{16}\.drw$/.test(name)
}

/** The number in the name, or undefined for every other name. */
export function walFileNumber(name: string): number | undefined {
  const digits = /^wal-(\d{16})\.drw$/.exec(name)?.[1]
  const file = Number(digits)
  return digits !== undefined && Number.isSafeInteger(file) && file > 0 ? file : undefined
}

export function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit
}

function nextChain(crc: number, payloadCrc: number): number {
  const both = new Uint8Array(8)
  const view = viewOf(both)
  view.setUint32(0, crc, true)
  view.setUint32(4, payloadCrc, true)
  return kernels.crc32c(both)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function setU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true)
  view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true)
}

/** Rounded above 2^53; callers check with areSafe. */
function getU64(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true)
}

function areSafe(...values: number[]): boolean {
  return values.every(Number.isSafeInteger)
}
