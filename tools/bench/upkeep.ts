// `npm run bench -- upkeep`: how long a search waits beside a writer and full maintenance, and how long closing takes in the middle of it.
// Searches arrive at a steady rate whatever happens, and wait from then on: one that a slice of maintenance holds up counts with all of it.
// So does one that waits because the host of a virtual machine took a processor away; how long it did is told beside it.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { type Collection, Drift } from '@drift/server'
import { quantile } from './measure.js'
import { type Source, vectorsOf } from './vectors.js'

const SEARCHES_PER_SECOND = 500
const UPDATES_PER_SECOND = 5_000
const BATCH = 50
const FILL = 1_000
const PHASE_MS = 8_000
const K = 10

interface Waits {
  readonly phase: string
  readonly searches: number
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly updates: number
  readonly moves: number
  /** Of all processors together. */
  readonly stolenMs: number
}

/** Of a tick of /proc/stat. */
const TICK_MS = 10

/** Rows of ids 0 .. rows - 1; a third of the way ahead are the vectors that the writer gives them. */
export async function upkeep(source: Source, maxRows: number): Promise<void> {
  const { base, query, dim } = vectorsOf(source, maxRows)
  const rows = base.length / dim
  const folder = mkdtempSync(join(tmpdir(), 'drift-bench-'))
  try {
    const db = await Drift.open(folder, { sync: 'os' })
    const docs = await db.collection('docs', { dim })
    for (let first = 0; first < rows; first += FILL) {
      const count = Math.min(FILL, rows - first)
      const ids = Array.from({ length: count }, (_, i) => first + i)
      await docs.upsert({ ids, vectors: base.subarray(first * dim, (first + count) * dim) })
    }
    await docs.flush()
    await docs.maintain()
    const world = { docs, base, query, dim, rows, written: 0 }
    const table: Waits[] = [
      await phase('idle', world, { writes: false, maintains: false }),
      await phase('writer', world, { writes: true, maintains: false }),
      await phase('writer, full maintenance', world, { writes: true, maintains: true }),
    ]
    console.log(`${source.name}: ${rows} rows of ${dim} dimensions; milliseconds from arrival`)
    console.table(table)
    // Half of the rows changed by now: there is more to heal than is done by then.
    const healing = docs.maintain().then(
      () => 'by itself',
      (error: { code?: string }) => `with ${error.code}`,
    )
    await turn()
    const begun = performance.now()
    await db.close()
    console.log(`closed in ${(performance.now() - begun).toFixed(0)} ms; maintenance ended ${await healing}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

interface World {
  readonly docs: Collection
  readonly base: Float32Array
  readonly query: Float32Array
  readonly dim: number
  readonly rows: number
  written: number
}

async function phase(
  name: string,
  world: World,
  { writes, maintains }: { readonly writes: boolean; readonly maintains: boolean },
): Promise<Waits> {
  const { docs, query, dim } = world
  const queries = query.length / dim
  const waits: number[] = []
  const end = performance.now() + PHASE_MS
  const isOver = () => performance.now() >= end
  const before = world.written
  let moves = 0
  const maintain = async () => {
    while (maintains && !isOver()) {
      moves += (await docs.maintain()).moves
      await turn()
    }
  }
  const beside = [write(world, writes, isOver), maintain()]
  const begun = performance.now()
  const stolen = stolenMs()
  for (let i = 0; !isOver(); ) {
    const due = begun + (i * 1000) / SEARCHES_PER_SECOND
    await until(due)
    const at = (i++ % queries) * dim
    await docs.search(query.subarray(at, at + dim), { k: K })
    waits.push(performance.now() - due)
  }
  await Promise.all(beside)
  const of = (share: number) => Number(quantile(waits, share).toFixed(3))
  return {
    phase: name,
    searches: waits.length,
    p50: of(0.5),
    p99: of(0.99),
    max: of(1),
    updates: world.written - before,
    moves,
    stolenMs: stolenMs() - stolen,
  }
}

/** The event loop turns until then. Without a promise a turn, of which there are so many that collecting them would be what is timed. */
function until(due: number): Promise<void> {
  return new Promise(resolve => {
    const look = (): void => {
      if (performance.now() < due) setImmediate(look)
      else resolve()
    }
    look()
  })
}

/** For so long the host ran something else while a processor of this machine had work, as far as Linux was told. */
function stolenMs(): number {
  if (process.platform !== 'linux') return 0
  const [, , , , , , , , steal] = readFileSync('/proc/stat', 'utf8').split(/\s+/, 9)
  return Number(steal) * TICK_MS
}

async function write(world: World, writes: boolean, isOver: () => boolean): Promise<void> {
  const { docs, base, dim, rows } = world
  const ahead = Math.floor(rows / 3)
  const begun = performance.now()
  for (let batch = 0; writes; batch++) {
    await until(begun + (batch * BATCH * 1000) / UPDATES_PER_SECOND)
    if (isOver()) return
    const ids = Array.from({ length: BATCH }, (_, i) => (world.written + i) % rows)
    const vectors = new Float32Array(BATCH * dim)
    for (const [i, id] of ids.entries()) {
      const from = ((id + ahead) % rows) * dim
      vectors.set(base.subarray(from, from + dim), i * dim)
    }
    await docs.upsert({ ids, vectors })
    world.written += BATCH
  }
}
