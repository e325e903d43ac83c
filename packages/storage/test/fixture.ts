/** Inputs for the writers, drawn by seed, and what a reader gives back in a form that tests can compare. */
import { createHash } from 'node:crypto'
import type { DriftFs } from '@drift/fs'
import {
  type Checkpoint,
  type CollectionEntry,
  type Manifest,
  NO_HOME,
  type SegmentEntry,
  type SegmentInput,
  SegmentReader,
} from '../src/index.js'
import { seeded } from './seeded.js'

export const FOLDER = '/data'
const CREATED_MS = 1_700_000_000_000

/** A uuid that says its number. */
export function uuidOf(number: number): string {
  return number.toString(16).padStart(32, '0')
}

export function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export interface SegmentShape {
  readonly rows: number
  readonly dim: number
  readonly seed?: number
  /** Of a payload, drawn per row; none, empty and full ones occur. 0: no payload column. */
  readonly payloadBytes?: number
}

export function segmentInput({ rows, dim, seed = 1, payloadBytes = 40 }: SegmentShape): SegmentInput & {
  vectors: Float32Array
} {
  const random = seeded(seed)
  const kinds = [undefined, new Uint8Array(0), random.bytes(payloadBytes)]
  const input = {
    uuid: uuidOf(seed),
    createdMs: CREATED_MS,
    dim,
    metric: 'cosine' as const,
    ids: Array.from({ length: rows }, (_, row) => ascii(`id-${seed}-${row}`)),
    vectors: random.floats(rows * dim),
    lsnLow: 10,
    lsnHigh: 10 + rows,
    quantizer: random.bytes(24),
  }
  if (payloadBytes === 0) return input
  return { ...input, payloads: input.ids.map((_, row) => kinds[(row + 2) % 3]) }
}

/** Byte strings as hex and vectors by a hash of their bits, since comparing large arrays one by one is slow. */
export interface SegmentContent {
  readonly dim: number
  readonly metric: string
  readonly ids: readonly string[]
  readonly vectors: string
  readonly payloads: readonly (string | undefined)[]
  readonly quantizer: string
}

export function contentOfInput(input: SegmentInput & { vectors: Float32Array }): SegmentContent {
  const { dim, metric, vectors } = input
  return {
    dim,
    metric,
    ids: input.ids.map(hex),
    vectors: hashOf(vectors),
    payloads: input.ids.map((_, row) => optionalHex(input.payloads?.[row])),
    quantizer: hex(input.quantizer),
  }
}

/** Everything that the reader gives. */
export function contentOf(reader: SegmentReader): SegmentContent {
  const { dim, metric, rows, quantizer } = reader
  const vectors = new Float32Array(rows * dim)
  reader.readVectors(0, rows, vectors)
  return {
    dim,
    metric,
    ids: reader.ids().map(hex),
    vectors: hashOf(vectors),
    payloads: Array.from({ length: rows }, (_, row) => optionalHex(reader.payload(row))),
    quantizer: hex(quantizer),
  }
}

/** The same of a file, after its checksums were walked when `verify`. */
export function contentOfFile(fs: DriftFs, entry: SegmentEntry, verify = false): SegmentContent {
  const reader = SegmentReader.open(fs, FOLDER, entry)
  try {
    if (verify) reader.verify()
    return contentOf(reader)
  } finally {
    reader.close()
  }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

function optionalHex(bytes: Uint8Array | undefined): string | undefined {
  return bytes && hex(bytes)
}

function hashOf({ buffer, byteOffset, byteLength }: Float32Array): string {
  return createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex')
}

export function checkpoint(seed = 1): Checkpoint & { createdMs: number } {
  const random = seeded(seed)
  const homes = (rows: number) => Uint32Array.from({ length: rows }, () => random.int(5))
  return {
    uuid: uuidOf(seed),
    createdMs: CREATED_MS,
    dim: 3,
    centroids: random.floats(5 * 3),
    homes: [
      { segment: uuidOf(71), homes: homes(40) },
      { segment: uuidOf(72), homes: new Uint32Array(0) },
      { segment: uuidOf(73), homes: Uint32Array.of(0, NO_HOME, 4) },
    ],
  }
}

export function manifest(number: number, change: Partial<Manifest> = {}): Manifest {
  const file = (n: number) => ({
    name: `seg-${n}.drift`,
    uuid: uuidOf(n),
    bytes: 4000 + n,
    footerCrc: 0xfedc_ba98 - n,
  })
  const range = (n: number) => ({ ...file(n), rows: 10 * n, lsnLow: n, lsnHigh: n + 5 })
  const docs: CollectionEntry = {
    number: 1,
    name: 'docs "\u00e9\u{1f600}"',
    dim: 384,
    metric: 'cosine',
    options: { recall: 0.95, kind: 'flat', exact: true, __proto__x: 1 },
    segments: [range(1), range(2)],
    tombstones: [range(3)],
    checkpoint: file(4),
  }
  const empty: CollectionEntry = {
    ...docs,
    number: 2,
    name: '',
    metric: 'l2',
    options: {},
    segments: [],
    tombstones: [],
  }
  const { checkpoint: _, ...second } = empty
  return {
    number,
    database: uuidOf(99),
    floorLsn: 12,
    durableLsn: 34,
    nextCollection: 3,
    nextFile: 5,
    collections: [docs, second],
    ...change,
  }
}
