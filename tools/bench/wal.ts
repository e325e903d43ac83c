// `npm run bench -- wal`: durable upserts beside a bare loop that writes and syncs as many bytes. Rule: everything is measured
// in short rounds that take turns, in one process and on one disk, because a sync costs something else a minute later;
// what is reported is the median of the rounds, and their ratios.
import { closeSync, fdatasyncSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Collection, Drift } from '@drift/server'
import { mix } from '../data/mix.js'
import { eachRow, quantile } from './measure.js'

const DIM = 384
const BATCH_ROWS = 100
const IN_FLIGHT = 8
const WRITERS = 32
/** Per round: a round of all of them takes a fraction of a second. */
const BATCHES = 16
const LONE_ROWS = 32
const PAGE = 4_096
/** What a frame of one batch takes of the log: its vectors, ids and headers, in whole pages. */
const BATCH_BYTES = Math.ceil((BATCH_ROWS * (DIM * 4 + 16) + 128) / PAGE) * PAGE
const LONE_BYTES = PAGE
/** The bare loops go round in a file of this size, written with zeros before, as the log's files are. */
const BARE_BYTES = 64 * 2 ** 20

interface Case {
  readonly name: string
  /** Rows written, or what a bare loop writes in their place. */
  readonly rows: number
  run(): Promise<void> | void
  /** Milliseconds of each write, where one alone is of interest. */
  readonly each?: number[]
}

/** @param rounds - of each case, in turns. */
export async function wal(rounds: number, seed: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'drift-bench-'))
  const bare = bareFile(join(folder, 'bare'))
  try {
    const db = await Drift.open(join(folder, 'db'), { sync: 'always' })
    const collection = await db.collection('rows', { dim: DIM, metric: 'cosine' })
    const cases = casesOf(collection, bare, seed)
    const seconds = cases.map((): number[] => [])
    for (const one of cases) {
      await one.run() // Warms up.
      one.each?.splice(0)
    }
    for (let round = 0; round < rounds; round++)
      for (const [c, one] of cases.entries()) {
        const start = performance.now()
        await one.run()
        seconds[c]!.push((performance.now() - start) / 1000)
      }
    await db.close()
    report(cases, seconds)
  } finally {
    closeSync(bare)
    rmSync(folder, { recursive: true })
  }
}

function casesOf(collection: Collection, bare: number, seed: number): Case[] {
  const { vectors } = mix({ rows: BATCH_ROWS * IN_FLIGHT, dim: DIM, clusters: 16, seed })
  const batches = eachRow(vectors, DIM * BATCH_ROWS)
  const rows = eachRow(vectors, DIM)
  let id = 0
  const upsert = (values: Float32Array) => {
    const ids = Array.from({ length: values.length / DIM }, () => id++)
    return collection.upsert({ ids, vectors: values.slice() })
  }
  /** `count` upserts by `writers` that each wait for their own before the next. */
  const upserts = async (writers: number, count: number, from: readonly Float32Array[], each?: number[]) => {
    let left = count
    const writer = async () => {
      while (left-- > 0) {
        const start = performance.now()
        await upsert(from[left % from.length]!)
        each?.push(performance.now() - start)
      }
    }
    await Promise.all(Array.from({ length: writers }, writer))
  }
  const batchRows = BATCHES * BATCH_ROWS
  const bareEach: number[] = []
  const loneEach: number[] = []
  return [
    { name: 'bare loop, batches', rows: batchRows, run: () => bareLoop(bare, BATCH_BYTES, BATCHES) },
    { name: 'batches, one at a time', rows: batchRows, run: () => upserts(1, BATCHES, batches) },
    {
      name: 'batches, eight in flight',
      rows: batchRows * 2,
      run: () => upserts(IN_FLIGHT, BATCHES * 2, batches),
    },
    {
      name: 'bare loop, 4 KiB',
      rows: LONE_ROWS,
      run: () => bareLoop(bare, LONE_BYTES, LONE_ROWS, bareEach),
      each: bareEach,
    },
    {
      name: 'rows, one writer',
      rows: LONE_ROWS,
      run: () => upserts(1, LONE_ROWS, rows, loneEach),
      each: loneEach,
    },
    {
      name: 'rows, 32 writers',
      rows: LONE_ROWS * WRITERS,
      run: () => upserts(WRITERS, LONE_ROWS * WRITERS, rows),
    },
  ]
}

function bareFile(path: string): number {
  const fd = openSync(path, 'w+')
  const zeros = new Uint8Array(2 ** 20)
  for (let at = 0; at < BARE_BYTES; at += zeros.length) writeSync(fd, zeros, 0, zeros.length, at)
  fsyncSync(fd)
  return fd
}

function bareLoop(fd: number, bytes: number, count: number, each?: number[]): void {
  const block = new Uint8Array(bytes)
  for (let i = 0; i < count; i++) {
    const start = performance.now()
    block.fill(i + 1)
    writeSync(fd, block, 0, bytes, i * bytes)
    fdatasyncSync(fd)
    each?.push(performance.now() - start)
  }
}

function report(cases: readonly Case[], seconds: readonly number[][]): void {
  const rates = cases.map(({ rows }, c) => rows / quantile(seconds[c]!, 0.5))
  const medians = cases.map(({ each }) => each && quantile(each, 0.5))
  console.log('| what | rows/s | us per row | median of one, us |\n|---|---:|---:|---:|')
  for (const [c, { name }] of cases.entries()) {
    const median = medians[c] === undefined ? '' : (1000 * medians[c]).toFixed(0)
    console.log(`| ${name} | ${rates[c]!.toFixed(0)} | ${(1e6 / rates[c]!).toFixed(1)} | ${median} |`)
  }
  const [bareBatches, one, eight, , lone, writers] = rates as [number, number, number, number, number, number]
  const [bareMedian, loneMedian] = medians.filter(median => median !== undefined) as [number, number]
  console.log('\n| ratio | here | target |\n|---|---:|---:|')
  console.log(`| batches, one at a time, of the bare loop | ${(one / bareBatches).toFixed(2)} | >= 0.60 |`)
  console.log(`| batches, eight in flight, rows/s | ${eight.toFixed(0)} | >= 100000 |`)
  console.log(
    `| one row beside a bare sync of 4 KiB, medians | ${(loneMedian / bareMedian).toFixed(2)} | <= 1.30 |`,
  )
  console.log(`| 32 writers of one | ${(writers / lone).toFixed(1)} | >= 10 |`)
}
