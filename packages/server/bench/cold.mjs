// What vectors in segments cost a search, beside vectors in memory: recall, queries per second and bytes a row. Build first.
//   node bench/cold.mjs fill FOLDER DATABASE     two collections of the rows of FOLDER, one of each kind
//   node bench/cold.mjs ask FOLDER DATABASE      asks both, in turns, with page caches of three sizes; where nothing else runs
// FOLDER holds base, query and truth as .npy (f16, f32 or u8, i32), row-major, as the benchmarks' data sets do.
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { Drift } from '../dist/index.js'

const [mode, folder, path] = process.argv.slice(2)
const metric = basename(folder).startsWith('sift') ? 'l2' : 'cosine'
const K = 10
const QUERIES = 1000

if (mode === 'fill') await fill()
else if (mode === 'ask') await ask()
else throw new Error('usage: cold.mjs fill|ask FOLDER DATABASE')

async function fill() {
  const base = readMatrix('base')
  const db = await Drift.open(path, { sync: 'os' })
  for (const cold of ['resident', 'disk']) {
    const docs = await db.collection(cold, { dim: base.dim, metric, cold })
    for (let first = 0; first < base.count; first += 500) {
      const end = Math.min(base.count, first + 500)
      const ids = Array.from({ length: end - first }, (_, i) => first + i)
      await docs.upsert({ ids, vectors: base.rows.slice(first * base.dim, end * base.dim) })
    }
    await docs.flush()
    await docs.maintain()
    await docs.compact()
    const { memory, rows, diskBytes } = await docs.stats()
    const bytes = Object.values(memory).reduce((sum, some) => sum + some, 0)
    print(
      `${cold}: ${(bytes / rows).toFixed(0)} bytes a row, ${JSON.stringify(memory)}; on disk ${diskBytes}`,
    )
  }
  await db.close()
}

async function ask() {
  const queries = readMatrix('query')
  const truth = readMatrix('truth')
  const pages = 2 ** 30
  print('| vectors | page cache | asked for | recall@10 | queries/s | exact queries/s | hits |')
  for (const [title, pageCacheBytes] of [
    ['all pages', pages],
    ['16 MiB', 16 << 20],
    ['none', 0],
  ]) {
    const db = await Drift.open(path, { pageCacheBytes, maintenance: 'off', shadow: false })
    const both = [await db.collection('resident'), await db.collection('disk')]
    for (const recall of [0.95, 0.99]) {
      const rates = both.map(() => [])
      const found = both.map(() => 0)
      let hits = 0
      for (let round = 0; round < 4; round++) {
        for (const [which, docs] of both.entries()) {
          const before = (await db.stats()).pageCache
          const start = performance.now()
          for (let q = 0; q < QUERIES; q++) {
            const got = await docs.search(queries.rows.subarray(q * queries.dim, (q + 1) * queries.dim), {
              k: K,
              recall,
            })
            if (round > 0) continue
            const near = new Set(truth.rows.subarray(q * truth.dim, q * truth.dim + K))
            found[which] += got.filter(({ id }) => near.has(id)).length
          }
          // The first round warms the cache.
          if (round > 0) rates[which].push(QUERIES / (performance.now() - start))
          const after = (await db.stats()).pageCache
          const asked = after.hits + after.misses - before.hits - before.misses
          if (which === 1) hits = (after.hits - before.hits) / asked
        }
      }
      for (const [which, name] of ['memory', 'segments'].entries()) {
        if (which === 0 && title !== 'all pages') continue
        const start = performance.now()
        for (let q = 0; q < 30; q++)
          await both[which].search(queries.rows.subarray(q * queries.dim, (q + 1) * queries.dim), {
            k: K,
            recall: 1,
          })
        const exact = 30_000 / (performance.now() - start)
        const rate = 1000 * rates[which].sort((a, b) => a - b)[1]
        const recallTold = (found[which] / (K * QUERIES)).toFixed(4)
        print(
          `| ${name} | ${which ? title : ''} | ${recall} | ${recallTold} | ${rate.toFixed(0)} | ${exact.toFixed(0)} | ${which ? hits.toFixed(3) : ''} |`,
        )
      }
    }
    await db.close()
  }
}

/** By the start of the name: rows of float32. */
function readMatrix(start) {
  const name = readdirSync(folder).find(other => other.startsWith(`${start}.`) && other.endsWith('.npy'))
  const bytes = readFileSync(join(folder, name))
  const header = bytes.toString('latin1', 10, 10 + bytes.readUInt16LE(8))
  const [, count, dim] = /\((\d+), (\d+)\)/.exec(header).map(Number)
  const data = bytes.subarray(10 + bytes.readUInt16LE(8))
  const type = /'descr': '(..\d)'/.exec(header)?.[1] ?? /'descr': '([^']+)'/.exec(header)[1]
  const read = {
    '<f4': i => data.readFloatLE(4 * i),
    '<i4': i => data.readInt32LE(4 * i),
    '|u1': i => data[i],
    '<f2': i => half(data.readUInt16LE(2 * i)),
  }[type]
  return { count, dim, rows: Float32Array.from({ length: count * dim }, (_, i) => read(i)) }
}

function half(bits) {
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15)
  return bits & 0x8000 ? -size : size
}

function print(line) {
  process.stdout.write(`${line}\n`)
}
