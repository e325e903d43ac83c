// Searches a shared graph until it is stopped, and tells when it has begun. Plain JavaScript over dist: a worker
// thread has no TypeScript loader.
import { parentPort, workerData } from 'node:worker_threads'
import { kernelsOf } from '../dist/index.js'

const { variant, graph, rows, dim, stop } = workerData
const kernels = kernelsOf(variant)
const live = new Uint32Array(Math.ceil(rows.length / dim / 32)).fill(0xffff_ffff)
const outRow = new Uint32Array(50)
const outDistance = new Float32Array(50)

let searches = 0
let wrong = 0
while (Atomics.load(stop, 0) === 0) {
  const query = rows.subarray((searches % 100) * dim, ((searches % 100) + 1) * dim)
  // The bound is read first: a node found may be newer, never beyond what is linked after the search.
  const written = kernels.hnswSearch(graph, 'l2', rows, dim, query, 50, live, outRow, outDistance)
  const linked = Atomics.load(graph, 16)
  for (let j = 0; j < written; j++) {
    if (outRow[j] >= linked || (j > 0 && outDistance[j] < outDistance[j - 1])) wrong++
  }
  if (++searches === 1) parentPort.postMessage('begun')
}
parentPort.postMessage({ searches, wrong })
