// What a caller gets wrong is DRIFT_ARGUMENT before anything is written: never a file that holds something else, one that cannot be read
// back, or an error that tells of damage.
import { runInNewContext } from 'node:vm'
import { SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import {
  decodeFloats,
  decodeIds,
  encodeFloats,
  encodeIds,
  IdFilter,
  isDamage,
  PageCache,
  SegmentReader,
  writeCheckpoint,
  writeSegment,
  writeTombstones,
} from '../src/index.js'
import { FOLDER } from './fixture.js'

const text = (value: string) => new TextEncoder().encode(value)
const uuid = '0123456789abcdef0123456789abcdef'
const sound = {
  uuid,
  createdMs: 1,
  dim: 2,
  metric: 'l2' as const,
  ids: [text('a'), text('b')],
  vectors: Float32Array.of(0, 0, 1, 1),
  payloads: [text('{}'), undefined],
  lsnLow: 1,
  lsnHigh: 2,
  quantizer: new Uint8Array(0),
}
const refused = expect.objectContaining({ name: 'StorageError', code: 'DRIFT_ARGUMENT' })

function emptyDisk(): SimFs {
  const fs = new SimFs()
  fs.makeFolder(FOLDER)
  return fs
}

function thrown(call: () => unknown): unknown {
  try {
    return call()
  } catch (error) {
    return error
  }
}

function transferred<T extends Float32Array | BigUint64Array>(array: T): T {
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] })
  return array
}

describe('a segment', () => {
  it.each([
    ['payloads of text, which would be zeros', { payloads: ['{"a":1}', undefined] }],
    ['payloads of 16-bit values, which would be cut', { payloads: [Uint16Array.of(300), undefined] }],
    ['payloads that are null', { payloads: [null, null] }],
    ['payloads in a set', { payloads: new Set(sound.payloads) }],
    ['ids of text', { ids: ['a', 'b'] }],
    ['ids with a hole', { ids: Object.assign(Array(2), [text('a')]) }],
    ['ids in a set', { ids: new Set(sound.ids) }],
    ['vectors of doubles, which would be rounded', { vectors: Float64Array.of(0.1, 0, 1, 1) }],
    ['vectors in an array', { vectors: [0, 0, 1, 1] }],
    ['a function that gives arrays', { vectors: (row: number) => [row, row] }],
    ['vectors whose memory went to a thread', { vectors: transferred(Float32Array.of(0, 0, 1, 1)) }],
    ['a metric that there is not', { metric: 'cos' }],
    ['no metric', { metric: undefined }],
    ['a time that is none', { createdMs: Number.NaN }],
    ['a time before 1970', { createdMs: -1 }],
    ['a date', { createdMs: new Date() }],
    ['a quantizer of floats', { quantizer: Float32Array.of(1) }],
    ['no quantizer', { quantizer: undefined }],
    ['an id filter of more hashes than one can be read with', { idFilterRate: 1e-300 }],
  ])('is not written with %s, and leaves nothing', (_, wrong) => {
    const fs = emptyDisk()
    expect(thrown(() => writeSegment(fs, FOLDER, 'seg', { ...sound, ...wrong } as never))).toEqual(refused)
    expect(fs.list(FOLDER)).toEqual([])
  })

  it.each([
    ['doubles', new Float64Array(2)],
    ['integers', new Int32Array(2)],
    ['an array', [0, 0]],
    ['nothing', undefined],
  ])('that is read into %s is not called damaged', (_, into) => {
    const fs = emptyDisk()
    const entry = writeSegment(fs, FOLDER, 'seg', sound)
    for (const options of [{}, { pages: new PageCache(1 << 20) }]) {
      const reader = SegmentReader.open(fs, FOLDER, entry, options)
      for (const call of [
        () => reader.readVectors(1, 1, into as never),
        () => reader.readVector(1, into as never),
      ]) {
        const error = thrown(call)
        expect(error).toEqual(refused)
        expect(isDamage(error)).toBe(false)
      }
      reader.verify()
      reader.close()
    }
  })
})

it('other files are not written with arrays of another type either', () => {
  const fs = emptyDisk()
  const tombstones = { uuid, lsnLow: 1, lsnHigh: 1 }
  const homes = [{ segment: uuid, homes: Uint32Array.of(0) }]
  const checkpoint = { uuid, dim: 2, centroids: Float32Array.of(1, 2), homes }
  const calls = [
    () => writeTombstones(fs, FOLDER, 'del', { ...tombstones, ids: ['a'] as never }),
    () => writeTombstones(fs, FOLDER, 'del', { ...tombstones, ids: undefined as never }),
    () => writeCheckpoint(fs, FOLDER, 'idx', { ...checkpoint, centroids: Float64Array.of(1, 2) as never }),
    () => writeCheckpoint(fs, FOLDER, 'idx', { ...checkpoint, centroids: [1, 2] as never }),
    () => writeCheckpoint(fs, FOLDER, 'idx', { ...checkpoint, dim: 2 ** 40, centroids: new Float32Array(0) }),
    () =>
      writeCheckpoint(fs, FOLDER, 'idx', { ...checkpoint, homes: [{ segment: uuid, homes: [0] as never }] }),
  ]
  for (const call of calls) expect(thrown(call)).toEqual(refused)
  expect(fs.list(FOLDER)).toEqual([])
})

it('codecs take their own types, whole, and no more values than they are told', () => {
  const floats = encodeFloats(Float32Array.of(1, 2, 3))
  const ids = encodeIds(BigUint64Array.of(1n, 2n, 3n))
  const wrong = [
    undefined,
    null,
    'text',
    [1],
    new ArrayBuffer(8),
    new DataView(new ArrayBuffer(8)),
    new Int32Array(0),
  ]
  for (const value of [...wrong, transferred(new Float32Array(4))])
    expect(thrown(() => encodeFloats(value as never))).toEqual(refused)
  for (const value of [...wrong, BigInt64Array.of(-1n), transferred(new BigUint64Array(4))])
    expect(thrown(() => encodeIds(value as never))).toEqual(refused)
  for (const value of [...wrong, new Uint16Array(40)]) {
    expect(thrown(() => decodeFloats(value as never))).toEqual(refused)
    expect(thrown(() => decodeIds(value as never))).toEqual(refused)
  }
  for (const most of [2, -1, Number.NaN]) {
    expect(thrown(() => decodeFloats(floats, most))).toEqual(refused)
    expect(thrown(() => decodeIds(ids, most))).toEqual(refused)
  }
  expect(decodeFloats(floats, 3)).toEqual(Float32Array.of(1, 2, 3))
  expect(decodeIds(ids, 3)).toEqual(BigUint64Array.of(1n, 2n, 3n))
  const ofAnotherRealm = runInNewContext(
    '({ floats: Float32Array.of(1, 2, 3), ids: BigUint64Array.of(1n, 2n, 3n) })',
  )
  expect(encodeFloats(ofAnotherRealm.floats)).toEqual(floats)
  expect(encodeIds(ofAnotherRealm.ids)).toEqual(ids)
})

it('filters and caches of a size that cannot be are refused', () => {
  for (const [keys, rate] of [
    [2 ** 50, 0.001],
    [10, 1e-300],
  ] as const)
    expect(thrown(() => IdFilter.create(keys, rate))).toEqual(refused)
  for (const bytes of [Number.NaN, -1, '1', undefined])
    expect(thrown(() => new PageCache(bytes as never))).toEqual(refused)
})
