// The graphs that a Node user would take instead, beside Drift in the same run: hnswlib, whose deleted nodes stay, marked, or are replaced by
// new ones, and usearch. Rule: one setting for the whole run, the documentation's defaults for building and the least beam that gives the
// recall in question at the first search step.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hnswlib, loadHnswlib, requirePeer } from '../../bench/peers.js'
import type { Runbook } from '../runbook.js'
import { type Found, NO_WORK, type SimEngine, type Work } from './sim-engine.js'

const M = 16
const EF_CONSTRUCTION = 200
/** Until the first search step. */
const EF = 64

/** The peers that are installed (npm run bench -- peers). */
export function peers(book: Runbook): SimEngine[] {
  const hnswlib = loadHnswlib()
  const usearch = requirePeer<Usearch>('usearch')
  return [
    ...(hnswlib ? [hnswlibEngine(hnswlib, book, false), hnswlibEngine(hnswlib, book, true)] : []),
    ...(usearch ? [usearchEngine(usearch, book)] : []),
  ]
}

/** @param replaces - a new node takes the place of a deleted one. */
function hnswlibEngine(
  library: Hnswlib,
  { metric, dim, insertedRows }: Runbook,
  replaces: boolean,
): SimEngine {
  const index = new library.HierarchicalNSW(metric, dim)
  index.initIndex(Math.ceil(1.05 * insertedRows) + 1000, M, EF_CONSTRUCTION, 1, replaces)
  index.setEf(EF)
  // A label names a node for good, so a row that comes back or is replaced gets another.
  const labels = new Map<number, number>()
  const idOf: number[] = []
  let writeMs = 0
  return {
    name: replaces ? 'hnswlib replace' : 'hnswlib mark',
    buckets: 0,
    get work(): Work {
      return { ...NO_WORK, writeMs }
    },
    async write(step) {
      const started = performance.now()
      for (const [i, id] of step.ids.entries()) {
        const old = labels.get(id)
        if (old !== undefined) index.markDelete(old)
        if (step.do === 'delete') labels.delete(id)
        else {
          labels.set(id, idOf.length)
          index.addPoint(Array.from(step.vectors.subarray(i * dim, (i + 1) * dim)), idOf.length, replaces)
          idOf.push(id)
        }
      }
      writeMs += performance.now() - started
    },
    async settle() {},
    setBeam(beam) {
      index.setEf(beam)
    },
    search(query, k): Found {
      const { neighbors } = index.searchKnn(Array.from(query), Math.min(k, labels.size))
      return { ids: neighbors.map(label => idOf[label]!), rows: 0, buckets: 0 }
    },
    async close() {},
  }
}

interface Usearch {
  Index: new (
    options: Record<string, unknown>,
  ) => {
    add(keys: BigUint64Array, vectors: Float32Array, threads: number): void
    search(query: Float32Array, k: number, threads: number): { readonly keys: BigUint64Array }
    remove(keys: BigUint64Array): unknown
    save(path: string): void
    load(path: string): void
  }
}

function usearchEngine(library: Usearch, { metric, dim }: Runbook): SimEngine {
  const make = (beam: number) =>
    new library.Index({
      metric: metric === 'ip' ? 'ip' : 'l2sq',
      dimensions: dim,
      connectivity: M,
      expansion_add: EF_CONSTRUCTION,
      expansion_search: beam,
      multi: false,
    })
  let index = make(EF)
  const alive = new Set<number>()
  let writeMs = 0
  return {
    name: 'usearch',
    buckets: 0,
    get work(): Work {
      return { ...NO_WORK, writeMs }
    },
    async write(step) {
      const started = performance.now()
      const old = Array.from(step.ids).filter(id => alive.delete(id))
      if (old.length > 0) index.remove(keysOf(old))
      if (step.do !== 'delete') {
        index.add(keysOf(Array.from(step.ids)), step.vectors, 1)
        for (const id of step.ids) alive.add(id)
      }
      writeMs += performance.now() - started
    },
    async settle() {},
    // It takes its beam when it is made.
    setBeam(beam) {
      const folder = mkdtempSync(join(tmpdir(), 'drift-sim-'))
      const path = join(folder, 'usearch')
      index.save(path)
      index = make(beam)
      index.load(path)
      rmSync(folder, { recursive: true })
    },
    search(query, k): Found {
      const { keys } = index.search(query, Math.min(k, alive.size), 1)
      return { ids: Array.from(keys, key => unkeyOf(key)), rows: 0, buckets: 0 }
    },
    async close() {},
  }
}

/** An odd number: multiplied by it, ids in a row lie far apart; usearch's table of keys collapses under ids in a row. */
const SPREAD_KEYS = 2_654_435_761n
const UNSPREAD_KEYS = 244_002_641n

function keysOf(ids: readonly number[]): BigUint64Array {
  return BigUint64Array.from(ids, id => (BigInt(id) * SPREAD_KEYS) & 0xffff_ffffn)
}

function unkeyOf(key: bigint): number {
  return Number((key * UNSPREAD_KEYS) & 0xffff_ffffn)
}
