// What an index learned about its recall can be taken out and put back: the copy asks for the same effort, tells the same recall, and
// bytes that do not fit themselves are refused before anything counts.
import { describe, expect, it } from 'vitest'
import { seededRandom, VectorIndex } from '../src/index.js'
import { clustered, nearby } from './data.js'

const DIM = 20
const ROWS = 3000
const vectors = clustered(ROWS, DIM, 30, 3)
const queries = nearby(vectors, DIM, 80, 4)
const ASKED = [
  { k: 10, recall: 0.9 },
  { k: 10, recall: 0.99 },
  { k: 1, recall: 0.95 },
]

/** Answers each query as its own shadow. */
async function taught(): Promise<VectorIndex> {
  const shadow = { share: 1, random: seededRandom(5) }
  const index = await VectorIndex.build({ dim: DIM, metric: 'l2', shadow }, vectors.slice())
  for (const asked of ASKED) {
    for (let q = 0; q < 80; q++) index.searchSync(queries.subarray(q * DIM, (q + 1) * DIM), asked)
    while (index.shadowsWaiting > 0) await index.shadow()
  }
  return index
}

/** The same partition, and nothing known about it. */
async function copyOf(index: VectorIndex): Promise<VectorIndex> {
  const shadow = { share: 0, random: () => 1 }
  const copy = new VectorIndex({ dim: DIM, metric: 'l2', shadow })
  const { sizes, columns, live, release } = await index.takeImage()
  copy.restoreImage(
    sizes,
    live.slice(),
    (column, into) => into.set(columns[column]),
    async into => into.set(index.vectors.subarray(0, sizes.rows * DIM)),
  )
  release()
  return copy
}

const original = taught()

function efforts(index: VectorIndex): number[] {
  return ASKED.flatMap(asked =>
    Array.from(
      { length: 20 },
      (_, q) => index.searchSync(queries.subarray(q * DIM, (q + 1) * DIM), asked).scannedRows,
    ),
  )
}

describe('what was learned', () => {
  it('comes back: searches cost what they did, and the recall that was measured is told', async () => {
    const index = await original
    const copy = await copyOf(index)
    await copy.vectorsReady()
    // Without it the copy would pay by the prior of all data.
    expect(efforts(copy)).not.toEqual(efforts(index))
    copy.restoreLearned(index.takeLearned())
    expect(efforts(copy)).toEqual(efforts(index))
    expect(copy.measuredRecall).toEqual(index.measuredRecall)
    expect(copy.measuredRecall).toHaveLength(ASKED.length)
    expect(Buffer.compare(copy.takeLearned(), index.takeLearned())).toBe(0)
  })

  it('may come as a Buffer, in the middle of other bytes', async () => {
    const index = await original
    const copy = await copyOf(index)
    await copy.vectorsReady()
    const learned = index.takeLearned()
    copy.restoreLearned(Buffer.concat([Buffer.alloc(16), learned]).subarray(16))
    expect(Buffer.compare(copy.takeLearned(), learned)).toBe(0)
  })

  it('may be nothing', async () => {
    const index = new VectorIndex({ dim: DIM, metric: 'l2' })
    const copy = new VectorIndex({ dim: DIM, metric: 'l2' })
    copy.restoreLearned(index.takeLearned())
    expect(copy.takeLearned()).toEqual(index.takeLearned())
  })

  const text = (bytes: Uint8Array, change: (of: string) => string): Uint8Array => {
    const length = new Uint32Array(bytes.buffer)[1]!
    const after = change(Buffer.from(bytes.subarray(8, 8 + length)).toString())
    expect(after.length).toBe(length)
    bytes.set(Buffer.from(after), 8)
    return bytes
  }
  it.each<[string, (bytes: Uint8Array) => Uint8Array]>([
    ['nothing at all', () => new Uint8Array(0)],
    ['half of it', bytes => bytes.slice(0, bytes.length >> 1)],
    ['a few values too many', bytes => Uint8Array.from([...bytes, 0, 0, 0, 0])],
    ['another version', bytes => bytes.fill(9, 0, 1)],
    ['a text beyond the end', bytes => bytes.fill(0x7f, 4, 8)],
    ['a text that is none', bytes => bytes.fill(0x7b, 8, 12)],
    ['a target that is no recall', bytes => text(bytes, of => of.replace('"target":0.9,', '"target":9.9,'))],
    ['half a row', bytes => text(bytes, of => of.replace('"k":10', '"k":.5'))],
    ['a text of nothing', bytes => text(bytes, of => 'null'.padEnd(of.length))],
    [
      'a text of lists of nothing',
      bytes => text(bytes, of => of.replace(/"byK":.*$/, '"byK":[null]}').padEnd(of.length)),
    ],
    [
      'what rows told of which there were none',
      bytes => {
        const only = '{"own":[],"rows":0,"loss":0,"byK":[],"tallies":[]}  '
        const [version] = new Uint32Array(bytes.buffer, 0, 1)
        return Uint8Array.from([version!, 0, 0, 0, only.length, 0, 0, 0, ...Buffer.from(only)])
      },
    ],
    ['values that are no numbers', bytes => bytes.fill(0xff, bytes.length - 4)],
  ])('is refused when it is %s, and nothing changes', async (_, change) => {
    const index = await original
    const before = index.takeLearned()
    expect(() => index.restoreLearned(change(index.takeLearned()))).toThrow(
      expect.objectContaining({ code: 'DRIFT_IMAGE' }),
    )
    expect(Buffer.compare(index.takeLearned(), before)).toBe(0)
  })
})
