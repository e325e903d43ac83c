/**
 * A column of 64-bit ids as bytes, and back. Blocks of 1024, each in the smallest of four ways, so that rows in any order cost what their
 * spread needs and rising ids cost their gaps. Sums are modulo 2^64. Never larger than the ids by more than 24 bytes a block and 24 for all.
 *
 *  0 magic "DRIC"   4 version u8   5 zeros   8 ids u64   16 CRC32C of the blocks, after that of bytes 0..15 u32   20 zeros u32
 * 24 per block: way u8   1 width u8   2 zeros   8 base u64   16 step u64   24 words
 *
 * CONST_STEP: id i = base + i * step. FOR: base + word i. DELTA_FOR: id 0 = base, each next one is step + word i more; word 0 is 0.
 * Words: `width` bits, interleaved in 16 lanes (native/src/bitpack.h). RAW: the ids as they are; base and step are 0, width is 64.
 */
import { kernels, packedBytes } from '@drift/native'
import { requireArgument, requireArray, StorageError } from '../errors.js'
import { getU64, setU64, viewOf } from '../segment/format.js'

const BLOCK_IDS = 1024
const MAGIC = 0x43495244
const VERSION = 1
const HEADER_BYTES = 24
const CRC_AT = 16
const BLOCK_HEADER_BYTES = 24
const Way = { constStep: 0, deltaFor: 1, for: 2, raw: 3 } as const
const RAW_WIDTH = 64
const NAME = 'encoded ids'

interface Block {
  readonly way: number
  readonly width: number
  readonly base: bigint
  readonly step: bigint
  /** Undefined: none are stored. */
  readonly words: BigUint64Array | undefined
}

/** @throws StorageError DRIFT_ARGUMENT for anything but this: signed ids would come back as others. */
export function encodeIds(ids: BigUint64Array): Uint8Array {
  requireArray(ids, 'ids', BigUint64Array)
  const blocks = Math.ceil(ids.length / BLOCK_IDS)
  const bytes = new Uint8Array(HEADER_BYTES + blocks * BLOCK_HEADER_BYTES + ids.byteLength)
  const view = viewOf(bytes)
  view.setUint32(0, MAGIC, true)
  bytes[4] = VERSION
  setU64(view, 8, ids.length)
  let at = HEADER_BYTES
  for (let from = 0; from < ids.length; from += BLOCK_IDS) {
    const { way, width, base, step, words } = chooseBlock(ids.subarray(from, from + BLOCK_IDS))
    bytes[at] = way
    bytes[at + 1] = width
    view.setBigUint64(at + 8, base, true)
    view.setBigUint64(at + 16, step, true)
    at += BLOCK_HEADER_BYTES
    if (words === undefined) continue
    const length = wordBytes(words.length, width)
    if (way === Way.raw) bytes.set(new Uint8Array(words.buffer, words.byteOffset, length), at)
    else kernels.bitsPack(words, width, bytes.subarray(at, at + length))
    at += length
  }
  view.setUint32(CRC_AT, crcOf(bytes.subarray(0, at)), true)
  return bytes.slice(0, at)
}

/** At most 64 ids for each byte of `bytes`, since equal steps take 24 bytes a block; `maxIds` bounds it further. */
export function decodeIds(bytes: Uint8Array, maxIds: number = Number.MAX_SAFE_INTEGER): BigUint64Array {
  requireArray(bytes, 'bytes', Uint8Array)
  if (bytes.length < HEADER_BYTES) throw corrupt('TRUNCATED', `${bytes.length} bytes are less than a header`)
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== MAGIC) throw corrupt('MAGIC', 'they do not start with DRIC')
  if (bytes[4] !== VERSION) {
    throw new StorageError('DRIFT_FORMAT_VERSION', `${NAME}: version ${bytes[4]}, this code reads ${VERSION}`)
  }
  if (view.getUint32(CRC_AT, true) !== crcOf(bytes)) throw corrupt('CRC', 'they have another CRC')
  const count = getU64(view, 8, NAME)
  const room = Math.floor((bytes.length - HEADER_BYTES) / BLOCK_HEADER_BYTES) * BLOCK_IDS
  if (count > room) throw corrupt('BOUNDS', `${count} ids in ${bytes.length} bytes`)
  requireArgument(count <= maxIds, () => `${count} ids are more than ${maxIds}`)
  const ids = new BigUint64Array(count)
  let at = HEADER_BYTES
  for (let from = 0; from < count; from += BLOCK_IDS) {
    const out = ids.subarray(from, from + BLOCK_IDS)
    at = decodeBlock(bytes, view, at, out)
  }
  if (at !== bytes.length) throw corrupt('BOUNDS', `${bytes.length - at} bytes follow the last block`, at)
  return ids
}

function chooseBlock(ids: BigUint64Array): Block {
  const deltas = ids.slice()
  for (let i = ids.length - 1; i > 0; i--) deltas[i] = ids[i]! - ids[i - 1]!
  const [base, rest] = [ids[0]!, deltas.subarray(1)]
  const [least, most] = rangeOf(rest)
  if (least === most) return { way: Way.constStep, width: 0, base, step: least, words: undefined }
  const [min, max] = rangeOf(ids)
  const deltaWidth = bitLength(most - least)
  const width = bitLength(max - min)
  const raw: Block = { way: Way.raw, width: RAW_WIDTH, base: 0n, step: 0n, words: ids }
  const choices: Block[] = [raw]
  if (deltaWidth < RAW_WIDTH) {
    deltas[0] = least
    choices.push({
      way: Way.deltaFor,
      width: deltaWidth,
      base,
      step: least,
      words: deltas.map(d => d - least),
    })
  }
  if (width < RAW_WIDTH)
    choices.push({ way: Way.for, width, base: min, step: 0n, words: ids.map(id => id - min) })
  const size = (block: Block) => wordBytes(ids.length, block.width)
  return choices.reduce((best, block) => (size(block) < size(best) ? block : best))
}

/** Of no values: 0 and 0. */
function rangeOf(values: BigUint64Array): [min: bigint, max: bigint] {
  let min = values[0] ?? 0n
  let max = min
  for (const value of values) {
    if (value < min) min = value
    if (value > max) max = value
  }
  return [min, max]
}

function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length
}

function wordBytes(count: number, width: number): number {
  return width === RAW_WIDTH ? count * 8 : packedBytes(count, width)
}

/** @returns where the next block starts. */
function decodeBlock(bytes: Uint8Array, view: DataView, at: number, out: BigUint64Array): number {
  if (at + BLOCK_HEADER_BYTES > bytes.length) throw corrupt('TRUNCATED', 'a block has no header', at)
  const way = bytes[at]!
  const width = bytes[at + 1]!
  const base = view.getBigUint64(at + 8, true)
  const step = view.getBigUint64(at + 16, true)
  const fits =
    way === Way.raw ? width === RAW_WIDTH : width < RAW_WIDTH && (way !== Way.constStep || width === 0)
  const reserved = bytes.subarray(at + 2, at + 8).every(byte => byte === 0)
  if (way > Way.raw || !fits || !reserved)
    throw corrupt('DECODE', `a block of way ${way} has width ${width}`, at)
  const from = at + BLOCK_HEADER_BYTES
  if (way === Way.constStep) {
    for (let i = 0, id = base; i < out.length; i++, id += step) out[i] = id
    return from
  }
  const end = from + wordBytes(out.length, width)
  if (end > bytes.length) throw corrupt('TRUNCATED', `a block ends at ${end} of ${bytes.length} bytes`, at)
  const words = bytes.subarray(from, end)
  if (way === Way.raw) {
    new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(words)
    return end
  }
  kernels.bitsUnpack(words, width, out)
  if (way === Way.for) {
    for (let i = 0; i < out.length; i++) out[i]! += base
  } else {
    out[0] = base
    for (let i = 1; i < out.length; i++) out[i]! += out[i - 1]! + step
  }
  return end
}

function crcOf(bytes: Uint8Array): number {
  return kernels.crc32c(bytes.subarray(CRC_AT + 4), kernels.crc32c(bytes.subarray(0, CRC_AT)))
}

function corrupt(
  kind: 'TRUNCATED' | 'MAGIC' | 'CRC' | 'DECODE' | 'BOUNDS',
  what: string,
  offset = 0,
): StorageError {
  return new StorageError(`DRIFT_CORRUPT_${kind}`, `${NAME}: ${what}`, { offset })
}
