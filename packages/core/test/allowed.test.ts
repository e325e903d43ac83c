/** Proves that what searches remember of rows that are promised to stay the same never changes what they find. */
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
