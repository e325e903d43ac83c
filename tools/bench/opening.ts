// `npm run bench -- opening`: an empty database, a log after a kill, and the stored index, each opened a few times in one process: the
// first touches memory that the machine may never have used, and later ones what those before left.
import { cpSync, rmSync } from 'node:fs'
import { Drift } from '@drift/server'
import { inFolder, row, write } from './filling.js'
import { quantile } from './measure.js'

/** Rows that are in the log only when the folder is taken: less than what makes the log be cut. */
const REPLAYED = 120_000
const OPENED: readonly (readonly [rows: number, dim: number, target: string])[] = [
  [1_000_000, 128, '<= 1'],
  [250_000, 384, '<= 0.5'],
]
const OPENINGS = 5
const DIM = 384

export async function opening(seed: number): Promise<void> {
  console.log('| what | here | target |\n|---|---:|---:|')
  await inFolder(async folder => {
    await (await Drift.open(folder)).close()
    tell('opening an empty database', await openings(folder), '')
  })
  await inFolder(folder => replay(folder, seed))
  for (const [count, dim, target] of OPENED)
    await inFolder(async folder => {
      const db = await Drift.open(folder)
      const collection = await db.collection('rows', { dim })
      await write(collection, count, dim, seed)
      await collection.compact()
      await db.close()
      tell(`opening ${count} rows of ${dim}`, await openings(folder), target)
    })
}

async function replay(folder: string, seed: number): Promise<void> {
  const db = await Drift.open(folder)
  const collection = await db.collection('rows', { dim: DIM, memtableRows: 2 * REPLAYED })
  await write(collection, REPLAYED, DIM, seed)
  const killed = `${folder}-killed`
  cpSync(folder, killed, { recursive: true })
  await db.close()
  const took: number[] = []
  for (let i = 0; i < OPENINGS; i++) {
    const copy = `${folder}-${i}`
    cpSync(killed, copy, { recursive: true })
    took.push(...(await openings(copy, 1, REPLAYED)))
    rmSync(copy, { recursive: true })
  }
  rmSync(killed, { recursive: true })
  const rates = took.map(seconds => REPLAYED / seconds)
  row(
    `opening with ${REPLAYED} rows of ${DIM} in the log, rows/s, median of ${OPENINGS}`,
    quantile(rates, 0.5),
    '>= 200000',
  )
  row('the first of them', rates[0]!)
}

/** @returns seconds of each. */
async function openings(folder: string, times = OPENINGS, rows?: number): Promise<number[]> {
  const took: number[] = []
  for (let i = 0; i < times; i++) {
    const start = performance.now()
    const db = await Drift.open(folder)
    took.push((performance.now() - start) / 1000)
    const found = rows === undefined ? undefined : await (await db.collection('rows')).count()
    await db.close()
    if (found !== rows) throw new Error(`${found} rows came back, ${rows} were written`)
  }
  return took
}

function tell(what: string, seconds: readonly number[], target: string): void {
  row(`${what}, s, median of ${seconds.length}`, quantile([...seconds], 0.5), target)
  row('the first of them', seconds[0]!)
}
