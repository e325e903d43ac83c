// A long life: writers, deleters and searchers over topics that come and go, healing in the background, and every minute a
// SIGKILL. After each: every acknowledged row has to be there, nothing that nobody wrote, `db.check()` finds no fault, and a
// search asked for 0.95 of the nearest has to find about as many.
//   node tools/dist/torture/soak.js [--minutes 60] [--seed 1] [--rows 40000] [--dim 64] [--folder FOLDER]
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom } from '@drift/core'
import type { Collection } from '@drift/server'
import { commandLine } from './command-line.js'
import { emptyLanes, type LaneProgress } from './crash-check.js'
import { type CrashOptions, crashRound } from './crash-round.js'
import { queryOf } from './workload.js'

const values = commandLine(
  'usage: node tools/dist/torture/soak.js [--minutes 60] [--seed 1] [--rows 40000] [--dim 64] [--folder FOLDER]',
  {
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    rows: { type: 'string', default: '40000' },
    dim: { type: 'string', default: '64' },
    folder: { type: 'string' },
  },
)
const [minutes, seed, rows, dim] = [values.minutes, values.seed, values.rows, values.dim].map(Number) as [
  number,
  number,
  number,
  number,
]
if (![minutes, seed, rows, dim].every(value => Number.isSafeInteger(value) && value > 0)) {
  console.error('expected whole numbers above 0')
  process.exit(2)
}
const QUERIES = 400
const K = 10
const TARGET = 0.95
/** Four deviations of the mean over so many queries, whose recall deviates by 0.09, and a point for what calibration strays by. */
const BAND = 0.03
const LANES = 4

const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'drift-soak-'))
const options: CrashOptions = {
  folder: join(folder, 'db'),
  collection: 'rows',
  workload: { seed, dim, lanes: LANES, batchRows: 50, laneIds: Math.ceil(rows / LANES), topics: 200 },
  memtableRows: 4_096,
  walFileBytes: 4 << 20,
  searchers: 2,
  backupFolder: join(folder, 'backup'),
}
let lanes: readonly LaneProgress[] = emptyLanes(options.workload)
let [acknowledged, acknowledgedRows, bad] = [0, 0, 0]
const recalls: number[] = []

for (let minute = 1; minute <= minutes && bad === 0; minute++) {
  let state = ''
  const result = await crashRound(
    options,
    lanes,
    { acknowledgements: 1, delayMs: 60_000 },
    async (collection, verdict) => {
      const newest = Math.max(...verdict.lanes.map(lane => lane.next))
      const recall = await recallOf(collection, newest, seededRandom(seed * 1_009 + minute))
      recalls.push(recall)
      const stats = await collection.stats()
      const measured = stats.recall.find(({ target }) => target === TARGET)
      state =
        `recall ${recall.toFixed(3)}` +
        (measured ? ` (by itself ${measured.low95.toFixed(3)} to ${measured.high95.toFixed(3)})` : '') +
        `, ${stats.buckets} buckets, ${stats.segments} segments, ${(stats.diskBytes / 2 ** 20).toFixed(0)} MiB`
    },
  )
  lanes = result.lanes
  acknowledged += result.acknowledged
  acknowledgedRows += result.acknowledgedRows
  if (result.lost + result.strange + result.unfound + result.findings.length > 0) bad++
  if (recalls.at(-1)! < TARGET - BAND) bad++
  console.log(
    `minute ${minute}: ${result.acknowledged} operations, ${result.rows} rows there, lost ${result.lost}, strange ${result.strange}, ` +
      `not found ${result.unfound}, opened in ${result.openMs.toFixed(0)} ms, ${state}`,
  )
  for (const { message } of result.findings) console.log(`db.check(): ${message}`)
}

const mean = recalls.reduce((sum, recall) => sum + recall, 0) / recalls.length
console.log(
  `${recalls.length} SIGKILLs, seed ${seed}: ${acknowledged} operations and ${acknowledgedRows} rows acknowledged; recall@${K} asked for ` +
    `${TARGET}: mean ${mean.toFixed(3)}, least ${Math.min(...recalls).toFixed(3)}; ` +
    (bad === 0 ? '0 lost' : `FAILED; the folder is ${folder}`),
)
if (bad === 0 && !values.folder) rmSync(folder, { recursive: true })
process.exitCode = bad === 0 ? 0 : 1

/** Of queries where rows are being written now, against the exact answer; rows as near as the last one count. */
async function recallOf(collection: Collection, newest: number, random: () => number): Promise<number> {
  let found = 0
  let wanted = 0
  for (let i = 0; i < QUERIES; i++) {
    const query = queryOf(options.workload, newest, random)
    const exact = await collection.search(query, { k: K, recall: 1 })
    const hits = await collection.search(query, { k: K, recall: TARGET })
    const farthest = exact.at(-1)?.distance ?? 0
    found += hits.filter(({ distance }) => distance <= farthest).length
    wanted += exact.length
  }
  return wanted === 0 ? 1 : found / wanted
}
