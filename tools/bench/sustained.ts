// `npm run bench -- sustained`: what only a longer run shows. Durable upserts into a collection that is flushed, split and compacted
// meanwhile, and the memory that takes; one flush; replay of a log after a kill; and opening with the stored index. Each part has a folder of its own.
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Collection, Drift } from '@drift/server'
import { mix } from '../data/mix.js'
import { quantile } from './measure.js'

const BATCH_ROWS = 100
const IN_FLIGHT = 8
/** Rows that are drawn; the others are these, each moved a little towards another. */
const DRAWN = 20_000
const TOWARDS = 0.2
/** The rate is told for so many parts of the run. */
const PARTS = 10
const FLUSHED = 100_000
/** Rows that are in the log only when the folder is taken: less than what makes the log be cut. */
const REPLAYED = 120_000
const OPENED: readonly (readonly [rows: number, dim: number])[] = [
  [1_000_000, 128],
  [250_000, 384],
]
const OPENINGS = 5
const DIM = 384

/** @param rows - written while flushes run. */
export async function sustained(rows: number, seed: number): Promise<void> {
  console.log('| what | here | target |\n|---|---:|---:|')
  await inFolder(folder => flood(folder, rows, seed))
  await inFolder(folder => flush(folder, seed))
  await inFolder(folder => replay(folder, seed))
  for (const [count, dim] of OPENED) await inFolder(folder => opening(folder, count, dim, seed))
}

async function flood(folder: string, rows: number, seed: number): Promise<void> {
  const db = await Drift.open(folder)
  const collection = await db.collection('rows', { dim: DIM })
  const rates: number[] = []
  let mostBeside = 0
  const start = performance.now()
  let last = start
  const cpu = process.cpuUsage()
  await write(collection, rows, DIM, seed, async done => {
    const { memory } = await collection.stats()
    const told = Object.values(memory).reduce((sum, bytes) => sum + bytes, 0)
    mostBeside = Math.max(mostBeside, process.memoryUsage.rss() - told)
    if (done < ((rates.length + 1) * rows) / PARTS) return
    const now = performance.now()
    rates.push((1000 * rows) / PARTS / (now - last))
    last = now
  })
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const { unflushedRows } = await collection.stats()
  row(`${rows} rows of ${DIM}, eight batches in flight, rows/s`, rows / seconds)
  row('the slowest tenth of it, rows/s', Math.min(...rates))
  row('processor time of all threads, us a row', (user + system) / rows)
  row('most memory beside the told, MiB', mostBeside / 2 ** 20)
  row('rows that wait to be flushed at the end', unflushedRows)
  const flushing = performance.now()
  await collection.flush()
  row('flushing those, s', (performance.now() - flushing) / 1000)
  await db.close()
}

/** Into buckets that hold as many rows already. */
async function flush(folder: string, seed: number): Promise<void> {
  const db = await Drift.open(folder, { maintenance: 'off' })
  const collection = await db.collection('rows', { dim: DIM, memtableRows: 2 * FLUSHED })
  await write(collection, FLUSHED, DIM, seed)
  await collection.flush()
  await write(collection, FLUSHED, DIM, seed, undefined, FLUSHED)
  const start = performance.now()
  const cpu = process.cpuUsage()
  await collection.flush()
  const { user, system } = process.cpuUsage(cpu)
  row(`flushing ${FLUSHED} rows of ${DIM}, s of processor`, (user + system) / 1e6, '<= 2')
  row('the same, s', (performance.now() - start) / 1000)
  await db.close()
}

async function replay(folder: string, seed: number): Promise<void> {
  const db = await Drift.open(folder)
  const collection = await db.collection('rows', { dim: DIM, memtableRows: 2 * REPLAYED })
  await write(collection, REPLAYED, DIM, seed)
  const killed = `${folder}-killed`
  cpSync(folder, killed, { recursive: true })
  await db.close()
  const start = performance.now()
  const again = await Drift.open(killed)
  const seconds = (performance.now() - start) / 1000
  const rows = await (await again.collection('rows', { dim: DIM })).count()
  await again.close()
  if (rows !== REPLAYED) throw new Error(`${rows} rows came back, ${REPLAYED} were written`)
  row(`opening with ${REPLAYED} rows of ${DIM} in the log, rows/s`, rows / seconds, '>= 200000')
}

async function opening(folder: string, rows: number, dim: number, seed: number): Promise<void> {
  const db = await Drift.open(folder)
  const collection = await db.collection('rows', { dim })
  await write(collection, rows, dim, seed)
  await collection.compact()
  await db.close()
  const took: number[] = []
  for (let i = 0; i < OPENINGS; i++) {
    const start = performance.now()
    const again = await Drift.open(folder)
    took.push((performance.now() - start) / 1000)
    await again.close()
  }
  row(
    `opening ${rows} rows of ${dim}, s (median of ${OPENINGS})`,
    quantile(took, 0.5),
    dim === DIM ? '<= 0.5' : '<= 1',
  )
}

/** @param onPart - now and then, with the rows that are durable. */
async function write(
  collection: Collection,
  rows: number,
  dim: number,
  seed: number,
  onPart: (done: number) => Promise<void> = async () => {},
  firstRow = 0,
): Promise<void> {
  const { vectors } = mix({ rows: DRAWN, dim, clusters: 64, seed })
  let next = 0
  let done = 0
  let told = 0
  const writer = async () => {
    while (next < rows) {
      const first = next
      const count = Math.min(BATCH_ROWS, rows - first)
      next += count
      const ids = Array.from({ length: count }, (_, i) => firstRow + first + i)
      await collection.upsert({ ids, vectors: moved(vectors, dim, firstRow + first, count) })
      done += count
      if (done < told + rows / (4 * PARTS) && done < rows) continue
      told = done
      await onPart(done)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, writer))
}

/** Rows first ... of an endless sequence without repetition. */
function moved(vectors: Float32Array, dim: number, first: number, count: number): Float32Array {
  const out = new Float32Array(count * dim)
  for (let i = 0; i < count; i++) {
    const row = first + i
    const from = (row % DRAWN) * dim
    const to = ((row * 7919 + Math.floor(row / DRAWN)) % DRAWN) * dim
    for (let j = 0; j < dim; j++) {
      out[i * dim + j] = (1 - TOWARDS) * vectors[from + j]! + TOWARDS * vectors[to + j]!
    }
  }
  return out
}

function row(what: string, value: number, target = ''): void {
  console.log(`| ${what} | ${value >= 100 ? value.toFixed(0) : value.toPrecision(3)} | ${target} |`)
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'drift-bench-'))
  try {
    await work(join(folder, 'db'))
  } finally {
    rmSync(folder, { recursive: true })
  }
}
