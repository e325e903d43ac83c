// LanceDB, a table on disk with the index of its kind that is meant for speed: HNSW over 8-bit codes, refined with the vectors.
import { join } from 'node:path'
import { folderBytes } from '../folder-size.js'
import { requirePeer } from '../peers.js'
import type { FilledEngine, NodeEngine, Setting } from './engine-kind.js'

const EF = [16, 24, 32, 48, 64, 96, 128, 192, 256, 400]
/** Candidates per result that are compared again with their vectors. */
const REFINE = 2

interface Query {
  distanceType(name: string): Query
  ef(value: number): Query
  refineFactor(value: number): Query
  select(columns: string[]): Query
  limit(k: number): Query
  toArrow(): Promise<{ getChild(name: string): { toArray(): Int32Array } }>
}

interface Table {
  add(data: unknown): Promise<unknown>
  delete(where: string): Promise<unknown>
  optimize(): Promise<unknown>
  createIndex(column: string, options: { config: unknown }): Promise<void>
  vectorSearch(query: Float32Array): Query
  close(): void
}

interface Lance {
  connect(path: string): Promise<{ createTable(name: string, data: unknown): Promise<Table> }>
  Index: { hnswSq(options: Record<string, unknown>): unknown }
}

interface Arrow {
  Int32: new () => object
  Float32: new () => object
  Field: new (name: string, type: object, nullable: boolean) => object
  FixedSizeList: new (size: number, field: object) => object
  Table: new (vectors: Record<string, unknown>) => unknown
  makeData(options: Record<string, unknown>): unknown
  makeVector(data: unknown): unknown
}

let lance: Lance | undefined
let arrow: Arrow | undefined

export const lancedb: NodeEngine = {
  name: 'lancedb',
  configuration: `IVF_HNSW_SQ, its defaults (m 20, ef_construction 300, 1 partition), refine factor ${REFINE}`,
  limits:
    'It answers from a table on disk, asynchronously. Rows that came in later are scanned one by one until optimize() has run.',
  settings: k => EF.filter(ef => ef >= k * REFINE).map((ef): Setting => ({ ef })),
  peer: '@lancedb/lancedb',
  load() {
    lance = requirePeer('@lancedb/lancedb')
    arrow = requirePeer('apache-arrow')
    return lance !== undefined && arrow !== undefined
  },
  async fill({ rows, dim, metric, folder }): Promise<FilledEngine> {
    const distanceType = metric === 'ip' ? 'dot' : 'l2'
    const path = join(folder, 'lance')
    const database = await lance!.connect(path)
    const numbers = Array.from({ length: rows.length / dim }, (_, i) => i)
    const table = await database.createTable('rows', arrowTable(numbers, rows, dim))
    await table.createIndex('vector', { config: lance!.Index.hnswSq({ distanceType }) })
    let ef = EF[0]!
    return {
      configure(setting) {
        ef = setting['ef']!
      },
      async search(query, k) {
        const found = await table
          .vectorSearch(query)
          .distanceType(distanceType)
          .ef(ef)
          .refineFactor(REFINE)
          .select(['number'])
          .limit(k)
          .toArrow()
        return found.getChild('number').toArray()
      },
      async insert(added, values) {
        await table.add(arrowTable(added, values, dim))
      },
      async remove(removed) {
        await table.delete(`number in (${removed.join(',')})`)
      },
      async settle() {
        await table.optimize()
      },
      diskBytes: folderBytes(path).data,
      close: () => table.close(),
    }
  },
}

function arrowTable(numbers: readonly number[], values: Float32Array, dim: number): unknown {
  const { Field, FixedSizeList, Float32, Int32, Table, makeData, makeVector } = arrow!
  const child = makeData({ type: new Float32(), length: values.length, data: values })
  const type = new FixedSizeList(dim, new Field('item', new Float32(), true))
  return new Table({
    number: makeVector(makeData({ type: new Int32(), data: Int32Array.from(numbers) })),
    vector: makeVector(makeData({ type, length: numbers.length, child })),
  })
}
