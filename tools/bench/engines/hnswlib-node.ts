// hnswlib-node, with the settings that its own documentation starts from.
import { plain } from '../hnswlib-engine.js'
import { type Hnswlib, loadHnswlib } from '../peers.js'
import { type NodeEngine, sweepOf } from './engine-kind.js'

const M = 16
const EF_CONSTRUCTION = 200
const EF = [10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 400, 600]

let library: Hnswlib | undefined

export const hnswlibNode: NodeEngine = {
  name: 'hnswlib-node',
  configuration: `M ${M}, ef_construction ${EF_CONSTRUCTION}, compiled for this machine`,
  limits:
    'It takes plain arrays only: they are made before the clock starts. No call for many queries; one thread; room for rows is fixed when it is made.',
  settings: k =>
    sweepOf(
      'ef',
      EF.filter(ef => ef >= k),
    ),
  peer: 'hnswlib-node',
  load() {
    library = loadHnswlib()
    return library !== undefined
  },
  async fill({ rows, dim, metric, seed, room }) {
    const index = new library!.HierarchicalNSW(metric, dim)
    const count = rows.length / dim
    index.initIndex(count + room, M, EF_CONSTRUCTION, seed)
    const insert = (numbers: readonly number[], values: Float32Array) => {
      for (const [i, number] of numbers.entries()) {
        index.addPoint(Array.from(values.subarray(i * dim, (i + 1) * dim)), number)
      }
    }
    for (let row = 0; row < count; row++) insert([row], rows.subarray(row * dim, (row + 1) * dim))
    return {
      configure: setting => index.setEf(setting['ef']!),
      search: (query, k) => index.searchKnn(plain(query), k).neighbors,
      insert,
      remove(numbers) {
        for (const number of numbers) index.markDelete(number)
      },
      close() {},
    }
  },
}
