// Engines that are best reached from python, behind bench/peers/python_engine.py, which has a class for each name here.
import { type EngineKind, type Setting, sweepOf } from './engine-kind.js'

const EF = [10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 400, 600]
const NPROBE = [4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384]
const LEAVES = [4, 8, 12, 16, 24, 32, 48, 64, 96, 160]

const graph = (knob: string) => (k: number) =>
  sweepOf(
    knob,
    EF.filter(ef => ef >= k),
  )

export const pythonEngines: readonly EngineKind[] = [
  {
    name: 'py-hnswlib-16',
    configuration: 'M 16, ef_construction 200',
    limits: '',
    settings: graph('ef'),
  },
  {
    name: 'py-hnswlib-32',
    configuration: 'M 32, ef_construction 200',
    limits: '',
    settings: graph('ef'),
  },
  {
    name: 'py-faiss-hnsw',
    configuration: 'HNSW32, efConstruction 200',
    limits: 'It cannot delete.',
    settings: graph('ef'),
  },
  {
    name: 'py-faiss-ivf-sq8',
    configuration: 'about 4 sqrt(n) lists, SQ8',
    limits: 'Trained on the first rows; it does not follow them when they change.',
    settings: () => sweepOf('nprobe', NPROBE),
  },
  {
    name: 'py-faiss-ivf-pqfs',
    configuration:
      'about 4 sqrt(n) lists, PQ of 4 bits for 2 dimensions in FastScan order, refined with float32',
    limits: 'Trained on the first rows. No deletes behind a refining index.',
    settings: refined(NPROBE),
  },
  {
    name: 'py-faiss-ivf-rabitq',
    configuration: 'about 4 sqrt(n) lists, RaBitQ of 1 bit in FastScan order, refined with float32',
    limits: 'Trained on the first rows. No deletes behind a refining index.',
    settings: refined(NPROBE),
  },
  {
    name: 'py-scann',
    configuration: 'tree of sqrt(n) leaves, asymmetric hashing of 2 dimensions, reordering',
    limits: 'Built in one go: no inserts or deletes here.',
    settings: k => LEAVES.flatMap(leaves => [k * 4, k * 10].map((reorder): Setting => ({ leaves, reorder }))),
  },
  {
    name: 'py-svs',
    configuration: 'Vamana over float32, degree 32, window 200, alpha 1.2, by L2',
    limits: 'Built in one go: no inserts or deletes here. Its compressed vectors (LVQ) run on Intel only.',
    settings: graph('window'),
  },
  {
    name: 'py-ngt-qg',
    configuration: 'quantized graph',
    limits: '',
    settings: () => [{}],
  },
]

/** More candidates per result where more lists are read: with few, the codes are what costs recall. */
function refined(lists: readonly number[]): (k: number) => Setting[] {
  return k => {
    const factors = k > 50 ? [2, 4] : [4, 12]
    return lists.flatMap(nprobe => factors.map((k_factor): Setting => ({ nprobe, k_factor })))
  }
}
