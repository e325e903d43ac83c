// The process that is killed: writes the workload durably and prints the number of each acknowledged operation, in a line
// of its own, until somebody ends it. Started by crash-round.ts with its order as JSON in the first argument.
import { writeSync } from 'node:fs'
import { seededRandom } from '@drift/core'
import { Drift } from '@drift/server'
import type { CrashOrder } from './crash-round.js'
import { operation, queryOf } from './workload.js'

/** Lane 0 asks for a flush this often; the small memtable causes others at moments of its own. */
const FLUSH_EVERY_OPERATIONS = 20

const order = JSON.parse(process.argv[2]!) as CrashOrder
const { folder, collection, workload, memtableRows, walFileBytes, next, searchers = 0 } = order
const db = await Drift.open(folder, { sync: 'always', walFileBytes })
const rows = await db.collection(collection, { dim: workload.dim, metric: 'l2', memtableRows })

/** The last operation that was begun: what a search asks for. */
let newest = 0

await Promise.all([...next.map(writeLane), ...Array.from({ length: searchers }, (_, i) => search(i))])

async function writeLane(first: number): Promise<void> {
  for (let n = first, done = 1; ; n += workload.lanes, done++) {
    newest = Math.max(newest, n)
    const { kind, ids, vectors } = operation(workload, n)
    if (kind === 'upsert') await rows.upsert({ ids, vectors, payloads: ids.map(() => ({ n })) })
    else await rows.delete(ids)
    // Synchronous, so that an acknowledgement is in the pipe before the process can die; a reader that is gone ends us.
    writeSync(1, `${n}\n`)
    if (n % workload.lanes === 0 && done % FLUSH_EVERY_OPERATIONS === 0) await rows.flush()
  }
}

/** One search after the other, of which the engine samples some to measure itself. Each gives way to the writers. */
async function search(searcher: number): Promise<void> {
  const random = seededRandom(searcher)
  for (;;) {
    await rows.search(queryOf(workload, newest, random), { k: 10 })
    await new Promise(resolve => setImmediate(resolve))
  }
}
