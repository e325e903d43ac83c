/**
 * The manifest's bytes. The frame is the same in every version, so that an older program can tell a newer manifest from a damaged one.
 *
 *  0 magic 8 B   8 version u16   10 zeros   12 body length u32   16 manifest number u64   24 CRC of the manifest before u32   28 zeros
 * 32 body: JSON
 *  . body length u32   CRC32C of all bytes before u32   magic 8 B
 */
import { kernels } from '@drift/native'
import { StorageError, type StorageErrorCode } from '../errors.js'
import { getU64, setU64, viewOf } from '../segment/format.js'
import { decodeBody, encodeBody } from './body.js'
import type { Manifest } from './manifest.js'

const MANIFEST_VERSION = 1
const MANIFEST_MAGIC = Uint8Array.of(0x89, 0x44, 0x52, 0x4d, 0x0d, 0x0a, 0x1a, 0x0a)

const HEAD_MAGIC = 0
const HEAD_VERSION = HEAD_MAGIC + 8
const HEAD_LENGTH = HEAD_VERSION + 4
const HEAD_NUMBER = HEAD_LENGTH + 4
const HEAD_PREVIOUS_CRC = HEAD_NUMBER + 8
const HEAD_BYTES = HEAD_PREVIOUS_CRC + 8

const TAIL_LENGTH = 0
const TAIL_CRC = TAIL_LENGTH + 4
const TAIL_MAGIC = TAIL_CRC + 4
const TAIL_BYTES = TAIL_MAGIC + 8

/** @param previousCrc - of the manifest before; 0 for the first. */
export function encodeManifest(manifest: Manifest, previousCrc: number): { bytes: Uint8Array; crc: number } {
  const body = encodeBody(manifest)
  const bytes = new Uint8Array(HEAD_BYTES + body.length + TAIL_BYTES)
  const view = viewOf(bytes)
  const tail = HEAD_BYTES + body.length
  bytes.set(MANIFEST_MAGIC, HEAD_MAGIC)
  view.setUint16(HEAD_VERSION, MANIFEST_VERSION, true)
  view.setUint32(HEAD_LENGTH, body.length, true)
  setU64(view, HEAD_NUMBER, manifest.number)
  view.setUint32(HEAD_PREVIOUS_CRC, previousCrc, true)
  bytes.set(body, HEAD_BYTES)
  view.setUint32(tail + TAIL_LENGTH, body.length, true)
  const crc = kernels.crc32c(bytes.subarray(0, tail + TAIL_CRC))
  view.setUint32(tail + TAIL_CRC, crc, true)
  bytes.set(MANIFEST_MAGIC, tail + TAIL_MAGIC)
  return { bytes, crc }
}

export interface DecodedManifest {
  readonly manifest: Manifest
  /** Of this manifest; the next one carries it. */
  readonly crc: number
  readonly previousCrc: number
}

/** @param path - for messages. The version is looked at last, when the frame is known to be whole. */
export function decodeManifest(bytes: Uint8Array, path: string): DecodedManifest {
  if (bytes.length < HEAD_BYTES + TAIL_BYTES) {
    throw fault('DRIFT_CORRUPT_TRUNCATED', `has ${bytes.length} bytes`, path, bytes.length)
  }
  const view = viewOf(bytes)
  const tail = bytes.length - TAIL_BYTES
  for (const at of [HEAD_MAGIC, tail + TAIL_MAGIC]) {
    if (MANIFEST_MAGIC.some((byte, i) => bytes[at + i] !== byte)) {
      throw fault('DRIFT_CORRUPT_MAGIC', 'has no manifest magic', path, at)
    }
  }
  const length = tail - HEAD_BYTES
  for (const at of [HEAD_LENGTH, tail + TAIL_LENGTH]) {
    const stored = view.getUint32(at, true)
    if (stored !== length)
      throw fault('DRIFT_CORRUPT_BOUNDS', `has a body of ${length} bytes, not ${stored}`, path, at)
  }
  const crc = kernels.crc32c(bytes.subarray(0, tail + TAIL_CRC))
  const stored = view.getUint32(tail + TAIL_CRC, true)
  if (crc !== stored)
    throw fault('DRIFT_CORRUPT_CRC', `has CRC ${crc}, expected ${stored}`, path, tail + TAIL_CRC)
  const version = view.getUint16(HEAD_VERSION, true)
  if (version !== MANIFEST_VERSION) {
    const what = `has version ${version}, this code reads ${MANIFEST_VERSION}`
    throw fault('DRIFT_FORMAT_VERSION', what, path, HEAD_VERSION)
  }
  const manifest = decodeBody(bytes.subarray(HEAD_BYTES, tail), getU64(view, HEAD_NUMBER, path), path)
  return { manifest, crc, previousCrc: view.getUint32(HEAD_PREVIOUS_CRC, true) }
}

function fault(code: StorageErrorCode, what: string, path: string, offset: number): StorageError {
  return new StorageError(code, `${path} ${what}`, { path, offset })
}
