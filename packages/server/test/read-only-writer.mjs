// Writes batches without end and prints each that is acknowledged: batch b has the ids of batch b - 10. Flushes often, so that files go.
import { Drift } from '../dist/index.js'

const db = await Drift.open(process.argv[2], { walFileBytes: 64 * 1024, threads: 0 })
const docs = await db.collection('docs', { dim: 8, metric: 'l2', memtableRows: 50 })
for (let batch = 1; ; batch++) {
  const rows = Array.from({ length: 20 }, (_, i) => ({
    id: (batch % 10) * 20 + i,
    vector: new Float32Array(8).fill(batch + i / 100),
    payload: { batch },
  }))
  await docs.upsert(rows)
  process.stdout.write(`${batch}\n`)
}
