// What a user of @drift/server writes: write, search, close, open again, find everything.
import { deepStrictEqual, strictEqual } from 'node:assert'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Drift } from '@drift/server'

const folder = mkdtempSync(join(tmpdir(), 'drift-server-'))
const dim = 8
const rows = Array.from({ length: 200 }, (_, row) => ({
  id: row,
  vector: Float32Array.from({ length: dim }, (_, i) => Math.sin((row + 1) * (i + 1) * 1.7)),
  payload: { row },
}))

const wanted = new Float32Array(rows[7]?.vector ?? [])

const first = await Drift.open(folder)
const docs = await first.collection('docs', { dim, metric: 'cosine' })
await docs.upsert(rows)
strictEqual(await docs.count(), 200)
const hits = await docs.search(wanted, { k: 3, payload: true })
strictEqual(hits[0]?.id, 7)
deepStrictEqual(hits[0]?.payload, { row: 7 })
await first.close()

const second = await Drift.open(folder)
const again = await second.collection('docs', { dim, metric: 'cosine' })
strictEqual(await again.count(), 200)
deepStrictEqual((await again.get(199))?.payload, { row: 199 })
strictEqual((await again.search(wanted, { k: 3 }))[0]?.id, 7)
await second.close()
rmSync(folder, { recursive: true })
console.log('server works')
