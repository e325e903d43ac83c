// Drift's index in memory, asked through `VectorIndex.searchSync`.
import { IndexPool, VectorIndex } from '@drift/core'
import { type NodeEngine, sweepOf } from './engine-kind.js'

/** Rows of one upsert. */
const BATCH_ROWS = 1_000

const PROBES = [2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]

export const drift: NodeEngine = {
  name: 'drift',
  configuration: 'VectorIndex.searchSync, defaults',
  limits: '',
  settings: () => sweepOf('probes', PROBES),
  load: () => true,
  async fill({ rows, dim, metric, seed, threads }) {
    const pool = new IndexPool({ threads: threads > 1 ? threads : 0 })
    const index = new VectorIndex({ dim, metric: metric === 'ip' ? 'cosine' : 'l2', seed, pool })
    const settle = async () => {
      index.rotate()
      for (const memtable of [...index.frozen]) await index.flush(memtable)
    }
    for (let first = 0; first < rows.length / dim; first += BATCH_ROWS) {
      const batch = rows.subarray(first * dim, (first + BATCH_ROWS) * dim)
      index.upsert(
        Array.from({ length: batch.length / dim }, (_, i) => first + i),
        batch,
      )
    }
    await settle()
    while (await index.refine());
    let probes = PROBES[0]!
    let scannedRows = 0
    return {
      configure(setting) {
        probes = setting['probes']!
      },
      search(query, k) {
        const found = index.searchSync(query, { k, probes })
        scannedRows = found.scannedRows
        return found.ids as number[]
      },
      searchAll: (queries, k) => index.searchBatch(queries, { k, probes }),
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
