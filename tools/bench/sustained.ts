// `npm run bench -- sustained`: what only a longer run shows. Durable upserts into a collection that is flushed, split and compacted
// meanwhile, and the memory that takes; and one flush. Each part has a folder of its own.
import { Drift } from '@drift/server'
import { inFolder, row, write } from './filling.js'

/** The rate is told for so many parts of the run. */
const PARTS = 10
const FLUSHED = 100_000
const DIM = 384

/** @param rows - written while flushes run. */
export async function sustained(rows: number, seed: number): Promise<void> {
  console.log('| what | here | target |\n|---|---:|---:|')
  await inFolder(folder => flood(folder, rows, seed))
  await inFolder(folder => flush(folder, seed))
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
