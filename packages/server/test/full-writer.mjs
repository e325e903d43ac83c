// Writes rows one batch at a time until one is refused, says so, goes on trying, and says when one is taken again.
import { Drift } from '@drift/server'

const db = await Drift.open(process.argv[2], { walFileBytes: 256 * 1024, minFreeBytes: 1024 * 1024 })
const docs = await db.collection('docs', { dim: 64, metric: 'l2', memtableRows: 4096 })
const batch = first =>
  Array.from({ length: 20 }, (_, i) => ({ id: first + i, vector: new Float32Array(64).fill(first + i) }))
const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

let acknowledged = -1
let refused = false
const write = () =>
  docs.upsert(batch(acknowledged + 1)).then(
    () => {
      acknowledged += 20
      return true
    },
    error => error.code,
  )
while (!refused) {
  const outcome = await Promise.race([write(), pause(2_000).then(() => 'waits')])
  if (outcome === true) continue
  refused = true
  // The write in flight waits for room; the next one is refused at the door.
  const code = outcome === 'waits' ? await docs.upsert(batch(900_000)).catch(error => error.code) : outcome
  const read = (await docs.get(acknowledged)) ? 'ok' : 'failed'
  process.stdout.write(`refused ${code} after ${acknowledged}, read ${read}\n`)
}
const before = acknowledged
while (acknowledged === before) {
  await pause(20)
  if ((await db.stats()).state === 'open') await write()
}
process.stdout.write('resumed\n')
for (let i = 0; i < 10; i++) await write()
process.stdout.write(`acknowledged ${acknowledged}\n`)
await pause(60_000)
