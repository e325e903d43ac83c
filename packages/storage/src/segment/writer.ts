/**
 * Writes a segment: ids, exact vectors and payloads of a run of writes, for ever unchanged. Cold and large sections come first and metadata
 * last, so that one read of the end serves an opening.
 */
import type { DriftFs } from '@drift/fs'
import { kernels } from '@drift/native'
import { IdFilter } from '../bloom.js'
import { requireArgument, requireArray } from '../errors.js'
import { CHUNK_BYTES, encodeChunks } from './bytes-column.js'
import { FileKind, type Metric, SectionKind } from './format.js'
import { encodeOrigins, type Origins } from './origins.js'
import { encodePages, rowsPerPage } from './page.js'
import { type FileEntry, writeContainer } from './section-writer.js'
import { digestOf, encodeStats } from './stats.js'

export interface SegmentInput {
  readonly uuid: string
  readonly createdMs: number
  readonly dim: number
  readonly metric: Metric
  /** One per row, in row order. Repetitions are the caller's to avoid. */
  readonly ids: readonly Uint8Array[]
  /** Row-major, rows * dim values; or row i's values, taken before the next call. */
  readonly vectors: Float32Array | ((row: number) => Float32Array)
  /** One per row; undefined: the row has none, which is not an empty one. */
  readonly payloads?: readonly (Uint8Array | undefined)[]
  readonly lsnLow: number
  readonly lsnHigh: number
  /** Opaque. Stored with its hash as content id. */
  readonly quantizer: Uint8Array
  /** Whether every vector has length 1. */
  readonly normalised?: boolean
  /** Where the rows were before, when they were brought together from other segments. */
  readonly origins?: Origins
  /** False positives of `mightContain`, in (0, 1). */
  readonly idFilterRate?: number
  /** The folder is synced too; else that is the caller's next step. */
  readonly syncFolder?: boolean
}

export interface SegmentEntry extends FileEntry {
  readonly rows: number
  readonly lsnLow: number
  readonly lsnHigh: number
}

/** 14.4 bits an id. At one in a hundred some of 200 ids asked at once is taken to be in every segment, and the filter saves nothing. */
const ID_FILTER_RATE = 0.001
/** Before the quantizer's bytes: their XXH64. */
export const QUANTIZER_ID_BYTES = 8

/** Whole and durable under `name` when it returns. What an error leaves there is whole too, or nothing. */
export function writeSegment(fs: DriftFs, folder: string, name: string, input: SegmentInput): SegmentEntry {
  const { uuid, createdMs, dim, metric, normalised = false, ids, payloads, lsnLow, lsnHigh } = input
  checkInput(input)
  const rows = ids.length
  const header = { kind: FileKind.segment, uuid, createdMs, dim, metric, normalised }
  const entry = writeContainer(fs, folder, name, header, rows, input.syncFolder, writer => {
    const { vectors, payload, quantizer, bloom, stats } = SectionKind
    const pageBytes = rowsPerPage(dim) * dim * 4
    writer.addPaged({ kind: vectors, items: rows }, pageBytes, encodePages(rows, dim, rowSource(input)))
    const present = payloads?.filter(bytes => bytes !== undefined) ?? []
    if (present.length > 0) {
      writer.addPaged({ kind: payload, items: rows }, CHUNK_BYTES, encodeChunks(payloads!))
    }
    writer.addPaged({ kind: SectionKind.ids, items: rows }, CHUNK_BYTES, encodeChunks(ids))
    writer.add({ kind: quantizer, items: 1 }, encodeQuantizer(input.quantizer))
    const hashes = ids.map(id => kernels.hash64(id))
    const filter = encodeFilter(hashes, input.idFilterRate ?? ID_FILTER_RATE)
    writer.add({ kind: bloom, critical: false, items: rows }, filter)
    if (input.origins) {
      writer.add(
        { kind: SectionKind.origins, critical: false, items: rows },
        encodeOrigins(input.origins, rows),
      )
    }
    const payloadBytes = present.reduce((sum, bytes) => sum + bytes.length, 0)
    const counts = {
      rows,
      lsnLow,
      lsnHigh,
      idDigest: digestOf(hashes),
      payloadRows: present.length,
      payloadBytes,
    }
    writer.add({ kind: stats, items: 1 }, encodeStats(counts))
  })
  return { ...entry, rows, lsnLow, lsnHigh }
}

function checkInput(input: SegmentInput): void {
  const { dim, metric, ids, vectors, payloads, quantizer, lsnLow, lsnHigh } = input
  requireArgument(Number.isSafeInteger(dim) && dim >= 1 && dim < 2 ** 28, () => `dim is ${dim}`)
  requireArgument(metric !== undefined, () => 'a segment needs a metric')
  checkIds(ids)
  if (typeof vectors !== 'function') requireArray(vectors, 'vectors', Float32Array)
  requireArgument(payloads === undefined || Array.isArray(payloads), () => 'payloads are no array')
  checkBytes(payloads ?? [], 'payload', true)
  requireArray(quantizer, 'quantizer', Uint8Array)
  const values = ids.length * dim
  requireArgument(
    typeof vectors === 'function' || vectors.length === values,
    () => `${ids.length} rows of ${dim} are ${values} values, got ${vectors.length}`,
  )
  requireArgument(
    payloads === undefined || payloads.length === ids.length,
    () => `${payloads?.length} payloads for ${ids.length} rows`,
  )
  checkLsnRange(lsnLow, lsnHigh)
}

export function checkIds(ids: readonly Uint8Array[]): void {
  requireArgument(Array.isArray(ids), () => 'ids are no array')
  checkBytes(ids, 'id', false)
}

function checkBytes(all: readonly (Uint8Array | undefined)[], what: string, isOptional: boolean): void {
  for (let row = 0; row < all.length; row++) {
    const bytes = all[row]
    if (isOptional && bytes === undefined) continue
    // Nearly all are sound, and a name for each would be garbage.
    if (!(bytes instanceof Uint8Array) || bytes.length === 0)
      requireArray(bytes, `${what} ${row}`, Uint8Array)
  }
}

export function checkLsnRange(lsnLow: number, lsnHigh: number): void {
  const ordered =
    Number.isSafeInteger(lsnLow) && Number.isSafeInteger(lsnHigh) && 0 <= lsnLow && lsnLow <= lsnHigh
  requireArgument(ordered, () => `LSN ${lsnLow} to ${lsnHigh} is no range`)
}

function rowSource({ vectors, dim }: SegmentInput): (row: number) => Float32Array {
  if (typeof vectors !== 'function') return row => vectors.subarray(row * dim, (row + 1) * dim)
  return row => {
    const values = vectors(row)
    if (values instanceof Float32Array && values.length === dim) return values
    requireArray(values, `vector ${row}`, Float32Array)
    requireArgument(values.length === dim, () => `vector ${row} has ${values.length} values, expected ${dim}`)
    return values
  }
}

function encodeQuantizer(quantizer: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(QUANTIZER_ID_BYTES + quantizer.length)
  new DataView(bytes.buffer).setBigUint64(0, kernels.hash64(quantizer), true)
  bytes.set(quantizer, QUANTIZER_ID_BYTES)
  return bytes
}

function encodeFilter(hashes: readonly bigint[], rate: number): Uint8Array {
  const filter = IdFilter.create(hashes.length, rate)
  for (const hash of hashes) filter.addHash(hash)
  return filter.toBytes()
}
