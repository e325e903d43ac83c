// Every row compared exactly, on the kernels that Drift itself runs: what an index has to beat.
import { exactScan } from '../../data/truth.js'
import type { NodeEngine } from './engine-kind.js'

export const bruteForce: NodeEngine = {
  name: 'brute-force',
  configuration: 'all rows in float32, the kernels of @drift/native',
  limits: 'It is a loop over an array: no inserts or deletes.',
  settings: () => [{}],
  load: () => true,
  async fill({ rows, dim, metric }) {
    return {
      configure() {},
      search(query, k) {
        const scan = exactScan(rows, dim, metric, k)
        const numbers = new Uint32Array(scan.k)
        scan.search(query, numbers, new Float32Array(scan.k))
        return numbers
      },
      close() {},
    }
  },
}
