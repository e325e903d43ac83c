// What a user of @drift/storage alone writes: a segment goes to disk and comes back.
import { deepStrictEqual, strictEqual } from 'node:assert'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NodeFs } from '@drift/fs'
import { SegmentReader, writeSegment } from '@drift/storage'

const folder = mkdtempSync(join(tmpdir(), 'drift-segment-'))
const dim = 4
const vectors = Float32Array.from({ length: 3 * dim }, (_, i) => Math.cos(i))
const ids = ['a', 'b', 'c'].map(id => new TextEncoder().encode(id))

const fs = new NodeFs()
const entry = writeSegment(fs, folder, 'first.seg', {
  uuid: '0123456789abcdef'.repeat(2),
  createdMs: 0,
  dim,
  metric: 'l2',
  ids,
  vectors,
  payloads: [undefined, new TextEncoder().encode('{}'), undefined],
  lsnLow: 1,
  lsnHigh: 3,
  quantizer: new Uint8Array(0),
})
strictEqual(entry.rows, 3)

const segment = SegmentReader.open(fs, folder, entry)
segment.verify()
const read = new Float32Array(3 * dim)
segment.readVectors(0, 3, read)
deepStrictEqual(read, vectors)
deepStrictEqual(segment.ids(), ids)
strictEqual(segment.payload(0), undefined)
strictEqual(segment.payload(1)?.length, 2)
segment.close()
rmSync(folder, { recursive: true })
console.log('storage works')
