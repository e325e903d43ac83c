// What a user of @drift/core alone writes. Runs as JavaScript and passes the strict compiler: no annotation is needed.
import { strictEqual } from 'node:assert'
import { VectorIndex } from '@drift/core'

const dim = 8
const rows = 500
const vectors = Float32Array.from({ length: rows * dim }, (_, i) => Math.sin(i * i))
const ids = Array.from({ length: rows }, (_, row) => `row ${row}`)

const index = new VectorIndex({ dim, metric: 'l2' })
index.upsert(ids, vectors)
strictEqual(index.count, rows)

const { ids: nearest, distances } = index.searchSync(vectors.slice(3 * dim, 4 * dim), { k: 5 })
strictEqual(nearest.length, 5)
strictEqual(nearest[0], 'row 3')
strictEqual(distances[0], 0)

strictEqual(index.delete(['row 3']), 1)
const { ids: after } = index.searchSync(vectors.slice(3 * dim, 4 * dim), { k: 5 })
strictEqual(after.includes('row 3'), false)
index.close()
console.log('core works')
