/** Proves that only allowed rows are found, and that what searches remember of those that are promised to stay the same changes nothing. */
import { afterAll, expect, it } from 'vitest'
import { fixRows, IndexPool, VectorIndex } from '../src/index.js'
import { clustered, nearby, numbers, rowOf } from './data.js'

const DIM = 24
const COUNT = 6000
const vectors = clustered(COUNT, DIM, 60, 5)
const queries = nearby(vectors, DIM, 25, 6)
const pool = new IndexPool({ threads: 1 })
afterAll(() => pool.close())

/** Every third row, and none of the first rows' topics, so that there are buckets without any. */
function someRows(): Uint32Array {
  const bits = new Uint32Array(Math.ceil((2 * COUNT) / 32))
  for (let row = 0; row < 2 * COUNT; row += 3) if (row % 60 > 20) bits[row >>> 5]! |= 1 << (row & 31)
  return bits
}

it('rows that are promised to stay the same are found like others, alone and in batches, whatever comes and goes between', async () => {
  const index = await VectorIndex.build({ dim: DIM, metric: 'l2', pool }, vectors.slice(0, (DIM * COUNT) / 2))
  const fixed = fixRows(someRows())
  const widths = [{ probes: 4 }, { floor: 1e-4 }, { recall: 0.9 }]
  const expectSame = async () => {
    for (const width of widths) {
      const each = numbers(25).map(q => rowOf(queries, DIM, q))
      const found = (allow: Uint32Array) => each.map(q => index.searchSync(q, { k: 5, allow, ...width }))
      const plain = found(someRows())
      expect(found(fixed)).toEqual(plain)
      expect(found(fixed)).toEqual(plain)
      const batch = await index.searchBatch(queries, { k: 5, allow: fixed, ...width })
      for (const [q, { rows }] of plain.entries()) {
        expect(batch.rows.subarray(5 * q, 5 * q + rows.length)).toEqual(rows)
      }
    }
  }
  await expectSame()
  const half = COUNT / 2
  for (let round = 0; round < 2; round++) {
    index.delete(numbers(half).filter(id => id % 7 === round))
    await expectSame()
    const ids = numbers(half / 2).map(i => half + (round * half) / 2 + i)
    index.upsert(ids, vectors.slice(ids[0]! * DIM, (ids.at(-1)! + 1) * DIM))
    await expectSame()
    index.rotate()
    for (const memtable of [...index.frozen]) await index.flush(memtable)
    await expectSame()
    await index.maintain()
    await expectSame()
  }
  index.close()
})

it.each(['resident', 'none', 'a source'] as const)(
  'rows beyond the bits that allow do not count, however all of the others are found, with vectors: %s',
  async kept => {
    const read = (): never => {
      throw new Error('nothing was handed over')
    }
    const index = new VectorIndex({
      dim: DIM,
      metric: 'l2',
      pool,
      vectors: kept === 'a source' ? { read } : kept,
    })
    index.upsert(numbers(1000), vectors.slice(0, 1000 * DIM))
    const allow = Uint32Array.of(0xffff_ffff, 0xff)
    for (const width of [{}, { recall: 1 }, { probes: Number.POSITIVE_INFINITY }]) {
      const asked = { k: 50, allow, ...(kept === 'none' ? {} : width) }
      const { rows } = index.searchSync(queries.subarray(0, DIM), asked)
      expect(rows.toSorted()).toEqual(Uint32Array.from(numbers(40)))
      const batch = await index.searchBatch(queries, asked)
      expect(batch.counts).toEqual(new Uint32Array(25).fill(40))
      expect(batch.rows.subarray(0, 40)).toEqual(rows)
    }
    index.close()
  },
)
