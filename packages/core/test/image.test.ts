// What an index derives can be taken out and put back: the copy answers as the original does and goes on from there, and an
// image that does not fit itself is refused before anything counts.
import { setImmediate } from 'node:timers/promises'
import { blockBytes, blockRowsAt, paddedDim } from '@drift/native'
import { describe, expect, it } from 'vitest'
import { type ImageColumn, type IndexImage, NONE, seededRandom, VectorIndex } from '../src/index.js'
import { clustered } from './data.js'

const DIM = 20
const ROWS = 3000
const OPTIONS = { dim: DIM, metric: 'l2', memtableRows: 512 } as const

async function grown(): Promise<VectorIndex> {
  const index = new VectorIndex(OPTIONS)
  const random = seededRandom(5)
  const vectors = clustered(ROWS, DIM, 30, 3)
  for (let first = 0; first < ROWS; first += 500) {
    const ids = Array.from({ length: 500 }, (_, i) => idOf(first + i))
    index.upsert(ids, vectors.subarray(first * DIM, (first + 500) * DIM))
    await index.flush(index.rotate()!)
  }
  for (let i = 0; i < 600; i++) index.delete([idOf(Math.floor(random() * ROWS))])
  while (await index.refine());
  return index
}

function idOf(i: number): string | number | bigint {
  return i % 3 === 0 ? `row ${i}` : i % 3 === 1 ? i - 1000 : BigInt(-i)
}

/** Its vectors come a turn of the event loop later. @param meanwhile - happens between taking the image and reading it. */
async function copyOf(
  index: VectorIndex,
  change: (image: IndexImage) => void = () => undefined,
  meanwhile: () => void = () => undefined,
): Promise<VectorIndex> {
  const taken = await index.takeImage()
  meanwhile()
  const columns = Object.fromEntries(
    Object.entries(taken.columns).map(([name, bytes]) => [name, bytes.slice()]),
  ) as Record<ImageColumn, Uint8Array>
  const image = { sizes: taken.sizes, columns }
  change(image)
  const copy = new VectorIndex(OPTIONS)
  copy.restoreImage(
    image.sizes,
    taken.live.slice(),
    (column, into) => {
      if (into.length !== columns[column].length) throw new RangeError(`${column} has another length`)
      into.set(columns[column])
    },
    async vectors => {
      await setImmediate()
      vectors.set(index.vectors.subarray(0, taken.sizes.rows * DIM))
    },
  )
  taken.release()
  return copy
}

describe('a restored index', () => {
  it('answers as the original does, and waits for the vectors to do so', async () => {
    const index = await grown()
    const copy = await copyOf(index)
    expect(copy.count).toBe(index.count)
    expect(() => copy.searchSync(new Float32Array(DIM), { k: 1 })).toThrow(
      expect.objectContaining({ code: 'DRIFT_LOADING' }),
    )
    const queries = clustered(50, DIM, 30, 4)
    for (let q = 0; q < 50; q++) {
      const query = queries.subarray(q * DIM, (q + 1) * DIM)
      const expected = index.searchSync(query, { k: 10, probes: 6 })
      const found = await copy.search(query, { k: 10, probes: 6 })
      expect(found.ids).toEqual(expected.ids)
      expect(found.distances).toEqual(expected.distances)
    }
    for (let i = 0; i < ROWS; i++) {
      const row = index.find(idOf(i))
      expect(copy.find(idOf(i))).toBe(row)
      if (row >= 0) expect(copy.bucketsOf(row)).toEqual(index.bucketsOf(row))
    }
  })

  it('goes on: rows are replaced, deleted and added, and all of them are found', async () => {
    const copy = await copyOf(await grown())
    const more = clustered(1500, DIM, 30, 9)
    copy.upsert(
      Array.from({ length: 1500 }, (_, i) => idOf(i + 2000)),
      more,
    )
    await copy.flush(copy.rotate()!)
    for (let i = 2000; i < 2300; i++) copy.delete([idOf(i)])
    while (await copy.refine());
    const all = copy.exactSync(more.subarray(0, DIM), 10_000)
    expect(all.ids.length).toBe(copy.count)
    // Every bucket scanned, every row met: no entry was lost.
    const scanned = copy.searchSync(more.subarray(0, DIM), { k: copy.count, probes: 1_000_000 })
    expect(new Set(scanned.ids)).toEqual(new Set(all.ids))
  })

  it('is whole when rows die and buckets change while it is taken', async () => {
    // Centroids of 8 KiB: copying them takes several slices.
    const dim = 2048
    const shape = { dim, metric: 'l2', bucketRows: 4 } as const
    const vectors = clustered(ROWS, dim, 200, 3)
    const index = await VectorIndex.build(shape, vectors.slice())
    let left = ROWS
    for (let round = 0; round < 3; round++) {
      const healing = index.maintain()
      let isTaking = true
      const taking = index
        .takeImage(() => index.count)
        .finally(() => {
          isTaking = false
        })
      let turns = 0
      for (; isTaking; turns++) {
        await setImmediate()
        index.delete([--left])
      }
      const { sizes, columns, live, moment, release } = await taking
      expect(turns).toBeGreaterThan(2)
      const copy = new VectorIndex(shape)
      copy.restoreImage(
        sizes,
        live,
        (column, into) => into.set(columns[column]),
        async into => into.set(index.vectors.subarray(0, into.length)),
      )
      await copy.vectorsReady()
      release()
      await healing
      expect(copy.count).toBe(moment)
      const found = copy.searchSync(vectors.subarray(0, dim), { k: moment, probes: 1e6 })
      expect(new Set(found.ids).size).toBe(moment)
      expect(Math.max(...(found.ids as number[]))).toBeGreaterThan(left)
    }
  })

  it('has every id right, also when rows that were dead before are let go of while the image is read', async () => {
    const name = (i: number): string => `${i} `.repeat(40)
    const index = new VectorIndex(OPTIONS)
    index.upsert(
      Array.from({ length: ROWS }, (_, i) => name(i)),
      clustered(ROWS, DIM, 30, 3),
    )
    await index.flush(index.rotate()!)
    const before = index.pin()
    index.delete(Array.from({ length: ROWS - 1000 }, (_, i) => name(i)))
    const copy = await copyOf(index, undefined, () => before.release())
    const left = Array.from({ length: 1000 }, (_, i) => name(ROWS - 1000 + i))
    expect(left.filter(id => copy.find(id) < 0 || copy.find(id) !== index.find(id))).toEqual([])
    expect(left.filter(id => index.idAt(index.find(id)) !== id)).toEqual([])
  })

  it('fails its reads with the reason when the vectors cannot be had', async () => {
    const index = await grown()
    const { sizes, columns, live, release } = await index.takeImage()
    const copy = new VectorIndex(OPTIONS)
    copy.restoreImage(
      sizes,
      live.slice(),
      (column, into) => into.set(columns[column]),
      async () => {
        throw new RangeError('the page is damaged')
      },
    )
    await expect(copy.search(new Float32Array(DIM), { k: 1 })).rejects.toThrow('the page is damaged')
    await expect(copy.searchBatch(new Float32Array(DIM), { k: 1 })).rejects.toThrow('the page is damaged')
    await expect(copy.refine()).rejects.toThrow('the page is damaged')
    release()
  })
})

/** Of the first bucket whose first two entries count, both are of one row. */
function nameTwice({ columns }: IndexImage): void {
  const [heads, blocks, homes, seconds] = [columns.heads, columns.blocks, columns.homes, columns.seconds].map(
    bytes => new Uint32Array(bytes.buffer),
  ) as [Uint32Array, Uint32Array, Uint32Array, Uint32Array]
  const padded = paddedDim(DIM)
  for (const [bucket, head] of heads.entries()) {
    const at = (head * blockBytes(padded)) / 4 + blockRowsAt(padded)
    const rows = blocks.subarray(at, at + 2)
    if (!rows.every(row => homes[row] === bucket || seconds[row] === bucket)) continue
    rows[1] = rows[0]!
    return
  }
}

describe('an image that does not fit itself', () => {
  const words = (bytes: Uint8Array) => new Uint32Array(bytes.buffer)
  it.each<[string, (image: IndexImage) => void]>([
    ['a home that is no bucket', ({ columns, sizes }) => words(columns.homes).fill(sizes.buckets)],
    ['a second bucket that is the home', ({ columns }) => columns.seconds.set(columns.homes)],
    ['a chain outside of the blocks', ({ columns, sizes }) => words(columns.heads).fill(sizes.blocks)],
    ['two chains in one block', ({ columns }) => words(columns.heads).fill(0)],
    ['a chain that ends too early', ({ columns }) => words(columns.next).fill(NONE)],
    ['a bucket without the entries of its rows', ({ columns }) => words(columns.entries).fill(0)],
    ['an entry of a row twice, in the place of another row', nameTwice],
    ['entries without end', ({ columns }) => words(columns.entries).fill(0xffff_ffff)],
    ['a row without id', ({ columns }) => columns.idKinds.fill(0)],
    ['a text beyond the end', ({ columns }) => words(columns.idWords).fill(0x7fff_ffff)],
  ])('is refused for %s', async (_, change) => {
    const index = await small
    await expect(copyOf(index, change)).rejects.toThrow(expect.objectContaining({ code: 'DRIFT_IMAGE' }))
  })
})

const small = grown()
