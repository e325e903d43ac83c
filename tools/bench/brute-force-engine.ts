// Brute force behind the engine interface: every row, exact, on the kernels that Drift itself runs.
import { exactScan } from '../data/truth.js'
import type { Engine } from './engine.js'

/** @param rows - unit length. */
export function bruteForce(rows: Float32Array, dim: number, k: number): Engine {
  const scan = exactScan(rows, dim, 'ip', k)
  const row = new Uint32Array(scan.k)
  const distance = new Float32Array(scan.k)
  return {
    name: 'brute force',
    knob: '',
    search(query) {
      scan.search(query, row, distance)
      return row.slice()
    },
    close() {},
  }
}
