// The process that is killed: writes the workload durably and prints the number of each acknowledged operation, in a line
// of its own, until somebody ends it. Between its operations each lane asks about its own rows, whose every exact answer it knows.
// Told to end (SIGTERM), it closes the database under its writers. Started by crash-round.ts with its order as JSON in the first argument.
import { writeSync } from 'node:fs'
import { seededRandom } from '@drift/core'
import { type Collection, Drift } from '@drift/server'
import type { CrashOrder } from './crash-round.js'
import { LaneModel } from './lane-model.js'
import { upkeep } from './upkeep.js'
import { queryOf } from './workload.js'
import { writeOperation } from './write.js'

/** Lane 0 does something else this often; the small memtable causes flushes at moments of its own. */
const UPKEEP_EVERY = 8

const order = JSON.parse(process.argv[2]!) as CrashOrder
const { folder, workload, memtableRows, walFileBytes, next, searchers = 0, cold, backupFolder } = order
let isClosing = false
/** The last operation that was begun: what a search asks for. */
let newest = 0

const db = await Drift.open(folder, { sync: 'always', walFileBytes })
process.once('SIGTERM', async () => {
  isClosing = true
  await db.close()
})
await untilClosed(run())

async function run(): Promise<void> {
  const collection = await db.collection(order.collection, {
    dim: workload.dim,
    metric: 'l2',
    memtableRows,
    ...(cold && { cold }),
  })
  const lanes = next.map(first => writeLane(collection, first))
  const searches = Array.from({ length: searchers }, (_, searcher) => search(collection, searcher))
  await Promise.all([...lanes, ...searches].map(untilClosed))
}

/** What fails because the database closed under it is over; anything else is a fault. */
async function untilClosed(work: Promise<void>): Promise<void> {
  await work.catch(error => {
    if (!isClosing || error?.code !== 'DRIFT_CLOSED') throw error
  })
}

async function writeLane(collection: Collection, first: number): Promise<void> {
  const lane = await LaneModel.read(workload, first % workload.lanes, collection)
  const random = seededRandom(workload.seed * 31 + first)
  for (let n = first, done = 1; ; n += workload.lanes, done++) {
    newest = Math.max(newest, n)
    await writeOperation(collection, workload, n)
    // Synchronous, so that an acknowledgement is in the pipe before the process can die; a reader that is gone ends us.
    writeSync(1, `${n}\n`)
    lane.apply(n)
    if (random() < 0.25) await lane.ask(collection, random)
    if (n % workload.lanes === 0 && done % UPKEEP_EVERY === 0)
      await upkeep({ db, collection, lane, backupFolder }, random)
  }
}

/** One search after the other, of which the engine samples some to measure itself. Each gives way to the writers. */
async function search(collection: Collection, searcher: number): Promise<void> {
  const random = seededRandom(searcher)
  for (;;) {
    await collection.search(queryOf(workload, newest, random), { k: 10 })
    await new Promise(resolve => setImmediate(resolve))
  }
}
