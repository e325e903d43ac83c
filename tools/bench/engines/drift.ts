// Drift's index in memory, asked through `VectorIndex.searchSync`.
import { IndexPool, VectorIndex } from '@drift/core'
import { type NodeEngine, sweepOf } from './engine-kind.js'

/** Shares of the expected hits. */
const SHARES = [
  0.5, 0.6, 0.65, 0.7, 0.74, 0.78, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99,
]

export const drift: NodeEngine = {
  name: 'drift',
  configuration: 'VectorIndex.build, searchSync by share',
  limits: '',
  settings: () => sweepOf('share', SHARES),
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
    let share = SHARES[0]!
    let scannedRows = 0
    return {
      configure(setting) {
        share = setting['share']!
      },
      search(query, k) {
        const found = index.searchSync(query, { k, share })
        scannedRows = found.scannedRows
        return found.ids as number[]
      },
      searchAll: (queries, k) => index.searchBatch(queries, { k, share }),
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
