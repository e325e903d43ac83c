// Writes batches of 20 rows for ever and prints the last row of each once it is acknowledged. Somebody kills it.
import { Drift } from '@drift/server'

const [path, from] = process.argv.slice(2)
const db = await Drift.open(path, { walFileBytes: 256 * 1024 })
const docs = await db.collection('docs', { dim: 8, metric: 'l2', memtableRows: 200 })
for (let first = Number(from); ; first += 20) {
  const rows = Array.from({ length: 20 }, (_, i) => ({
    id: first + i,
    vector: Float32Array.from({ length: 8 }, (_, j) => first + i + j),
    payload: { n: first + i },
  }))
  await docs.upsert(rows)
  process.stdout.write(`${first + 19}\n`)
}
