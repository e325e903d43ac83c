/**
 * A log file frame by frame, for those who check or save one: what lies in it, what validates, and what does not and why. Knows one file
 * at a time and judges nothing: whether a frame that does not validate is a torn end or damage is for the reader. Writes nothing.
 */

import type { DriftFs } from '@drift/fs'
import {
  decodeFileHeader,
  decodeFrameHeader,
  decodeRecords,
  FIRST_IGNORABLE_TYPE,
  type FileHeader,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  frameBytes,
  frameSeed,
  holdsFrames,
  looksWrittenHere,
  MAX_PAYLOAD_BYTES,
  PAGE_BYTES,
  payloadMatches,
  walFileNumber,
} from './format.js'

export interface WalFileReport {
  /** The number in its name. */
  readonly file: number
  readonly path: string
  readonly bytes: number
  /** 'blank' for a prepared file, 'damaged' when it holds frames without a header, 'version' for a newer release's. */
  readonly header: FileHeader | 'blank' | 'damaged' | 'version'
  /** Empty without a header. */
  readonly frames: readonly WalFrameReport[]
}

export interface WalFrameReport {
  readonly offset: number
  /** `frame`: bytes of a frame whose header does not validate. `payload`: whose payload does not. `record`: whose records are none. */
  readonly state: 'whole' | 'frame' | 'payload' | 'record'
  /** Undefined when state is `frame`. */
  readonly header: FrameHeader | undefined
  /** Views of the file's bytes; empty unless whole. */
  readonly records: readonly Uint8Array[]
}

/** Every log file of the folder, in order of their numbers. One file's bytes are in memory at a time, and as long as its report. */
export function* inspectWal(fs: DriftFs, folder: string): Generator<WalFileReport, void, undefined> {
  for (const name of fs.list(folder)) {
    const file = walFileNumber(name)
    if (file !== undefined) yield inspectFile(fs, `${folder}/${name}`, file)
  }
}

function inspectFile(fs: DriftFs, path: string, file: number): WalFileReport {
  if (fs.stat(path)?.kind === 'folder') return { file, path, bytes: 0, header: 'damaged', frames: [] }
  const bytes = readWhole(fs, path)
  const decoded = decodeFileHeader(bytes.subarray(0, PAGE_BYTES))
  const header = decoded ?? (holdsFrames(bytes, file) ? 'damaged' : 'blank')
  const frames = typeof header === 'string' ? [] : [...inspectFrames(bytes, header)]
  return { file, path, bytes: bytes.length, header, frames }
}

/** After bytes that do not validate it goes on at the next page: a frame begins at a page, and its seed tells where it belongs. */
function* inspectFrames(bytes: Uint8Array, file: FileHeader): Generator<WalFrameReport, void, undefined> {
  for (let offset = PAGE_BYTES; offset < bytes.length; ) {
    const page = bytes.subarray(offset)
    const header = decodeFrameHeader(page, () => frameSeed(file.nonce, file.file, offset))
    const fits = header && header.payloadBytes <= MAX_PAYLOAD_BYTES && header.payloadBytes % 8 === 0
    const length = fits ? frameBytes(header.payloadBytes) : PAGE_BYTES
    if (!fits || offset + length > bytes.length) {
      if (looksWrittenHere(page, file)) yield { offset, state: 'frame', header: undefined, records: [] }
      offset += PAGE_BYTES
      continue
    }
    const payload = bytes.subarray(
      offset + FRAME_HEADER_BYTES,
      offset + FRAME_HEADER_BYTES + header.payloadBytes,
    )
    const whole = payloadMatches(payload, header)
    const ignorable = header.type >= FIRST_IGNORABLE_TYPE
    const records = whole ? (ignorable ? [] : decodeRecords(payload, header.records)) : undefined
    const state = records ? 'whole' : whole ? 'record' : 'payload'
    yield { offset, state, header, records: records ?? [] }
    offset += length
  }
}

function readWhole(fs: DriftFs, path: string): Uint8Array {
  const into = new Uint8Array(fs.stat(path)?.bytes ?? 0)
  const fd = fs.open(path, 'read')
  try {
    return into.subarray(0, fs.read(fd, into, 0))
  } finally {
    fs.close(fd)
  }
}
