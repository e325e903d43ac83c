// Drift's index in memory, asked through `VectorIndex.searchSync`.
import { IndexPool, VectorIndex } from '@drift/core'
import { type NodeEngine, sweepOf } from './engine-kind.js'

/** Recalls asked for; an index that learns would move what they mean, this one does not. */
const RECALLS = [
  0.6, 0.7, 0.75, 0.8, 0.84, 0.87, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998, 0.999,
]

export const drift: NodeEngine = {
  name: 'drift',
  configuration: 'VectorIndex.build, searchSync by recall',
  limits: '',
  settings: () => sweepOf('recall', RECALLS),
  load: () => true,
  async fill({ rows, dim, metric, seed, threads }) {
    const pool = new IndexPool({ threads: threads > 1 ? threads : 0 })
    const index = await VectorIndex.build(
      { dim, metric: metric === 'ip' ? 'cosine' : 'l2', seed, pool },
      rows,
    )
    const settle = async () => {
      index.rotate()
      for (const memtable of [...index.frozen]) await index.flush(memtable)
    }
    let recall = RECALLS[0]!
    let scannedRows = 0
    return {
      configure(setting) {
        recall = setting['recall']!
      },
      search(query, k) {
        const found = index.searchSync(query, { k, recall })
        scannedRows = found.scannedRows
        return found.ids as number[]
      },
      searchAll: (queries, k) => index.searchBatch(queries, { k, recall }),
      get scannedRows() {
        return scannedRows
      },
      insert(numbers, values) {
        index.upsert(numbers, values)
      },
      remove(numbers) {
        index.delete(numbers)
      },
      settle,
      async close() {
        index.close()
        await pool.close()
      },
    }
  },
}
