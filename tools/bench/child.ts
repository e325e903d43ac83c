// The process of one engine: does what it is asked, one request after the other (protocol.ts). The clock runs in here, around
// the engine's own calls and nothing else.
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { NpyFile, readMatrix } from '../data/npy.js'
import { nodeEngine } from './engines/catalogue.js'
import type { FilledEngine, NodeEngine, Setting } from './engines/engine-kind.js'
import { eachRow, quantile } from './measure.js'
import { peerVersion } from './peers.js'
import type { Answered, Churned, Filled, Loaded, Replies, Request, Timed, TimedAll } from './protocol.js'

/** Queries before the clock starts, as a share: other engines had the caches meanwhile. */
const WARM_SHARE = 0.1

/** Before memory is read, and how long each may take to give back what it found. */
const COLLECTIONS = 3
const SWEEP_MS = 300

/** Rows of one insert or delete of a living index. */
const CHURN_BATCH = 100

let kind: NodeEngine
let engine: FilledEngine
let base: string
let queries: Float32Array
let each: Float32Array[]

process.on('message', (request: Request) => {
  answer(request).then(
    reply => process.send!(reply, () => request.do === 'end' && process.disconnect()),
    (error: Error) => process.send!({ error: error.stack ?? error.message }),
  )
})

async function answer(request: Request): Promise<Replies[Request['do']]> {
  switch (request.do) {
    case 'load':
      return load(request.engine)
    case 'fill':
      return fill(request)
    case 'answer':
      return answers(request)
    case 'time':
      return time(request)
    case 'timeAll':
      return timeAll(request)
    case 'churn':
      return churn(request.rows, request.budgetMs)
    case 'end':
      await engine?.close()
      return {}
  }
}

function load(name: string): Loaded {
  kind = nodeEngine(name)!
  if (!kind.load())
    return { missing: 'not installed, or without a binary for this machine (npm run bench -- peers)' }
  return kind.peer === undefined ? {} : { version: peerVersion(kind.peer) }
}

async function fill(request: Request & { do: 'fill' }): Promise<Filled> {
  base = join(request.data, 'base.npy')
  const query = readMatrix(join(request.data, 'query.npy'))
  queries = query.values
  each = eachRow(queries, query.columns)
  const before = await residentBytes()
  const buildSeconds = await filled(request, query.columns)
  const memoryBytes = (await residentBytes()) - before
  const { diskBytes } = engine
  return { buildSeconds, memoryBytes, ...(diskBytes === undefined ? {} : { diskBytes }) }
}

/** Without garbage: what a collection finds, another thread gives back, and what that held is found by the next. */
async function residentBytes(): Promise<number> {
  for (let i = 0; i < COLLECTIONS; i++) {
    globalThis.gc?.()
    await setTimeout(SWEEP_MS)
  }
  return process.memoryUsage.rss()
}

/** In a function of its own, so that the input is garbage when it returns. */
async function filled(request: Request & { do: 'fill' }, dim: number): Promise<number> {
  const { metric, seed, threads, room, folder } = request
  const rows = readMatrix(base).values
  const start = performance.now()
  engine = await kind.fill({ rows, dim, metric, seed, threads, room, folder })
  return secondsSince(start)
}

async function answers(request: Request & { do: 'answer' }): Promise<Answered> {
  engine.configure(request.setting)
  const found: number[][] = []
  let scanned = 0
  const start = performance.now()
  for (const query of each.slice(0, request.queries)) {
    found.push(Array.from<number | bigint, number>(await engine.search(query, request.k), Number))
    scanned += engine.scannedRows ?? 0
    if (performance.now() - start > request.budgetMs) break
  }
  const scannedRows = engine.scannedRows === undefined ? {} : { scannedRows: scanned / found.length }
  return { answers: found, seconds: secondsSince(start), ...scannedRows }
}

async function time({ setting, k, queries: count }: Request & { do: 'time' }): Promise<Timed> {
  await warm(setting, k, count)
  const microseconds = new Float64Array(count)
  const start = performance.now()
  let last = start
  for (let q = 0; q < count; q++) {
    const found = engine.search(each[q]!, k)
    if (found instanceof Promise) await found
    const now = performance.now()
    microseconds[q] = (now - last) * 1000
    last = now
  }
  const seconds = (last - start) / 1000
  const all = Array.from(microseconds)
  return { seconds, p50Us: quantile(all, 0.5), p99Us: quantile(all, 0.99) }
}

async function timeAll({ setting, k, queries: count }: Request & { do: 'timeAll' }): Promise<TimedAll> {
  if (!engine.searchAll) return {}
  await warm(setting, k, count)
  const some = queries.subarray(0, (count * queries.length) / each.length)
  const start = performance.now()
  await engine.searchAll(some, k)
  return { seconds: secondsSince(start) }
}

async function warm(setting: Setting, k: number, count: number): Promise<void> {
  engine.configure(setting)
  for (const query of each.slice(0, Math.ceil(count * WARM_SHARE))) await engine.search(query, k)
}

async function churn(rows: number, budgetMs: number): Promise<Churned> {
  const file = new NpyFile(base)
  const stride = Math.floor(file.rows / rows)
  const old = Array.from({ length: rows }, (_, i) => i * stride)
  const { remove, insert } = engine
  const rates: { removesPerSecond?: number; insertsPerSecond?: number } = {}
  if (remove) {
    // Rows between those, to warm up: what is timed is the engine, not its compiler.
    const others = old.map(row => row + (stride >> 1))
    await inBatches(rows, budgetMs, (from, to) => remove(others.slice(from, to)))
    const { done, seconds } = await inBatches(rows, budgetMs, (from, to) => remove(old.slice(from, to)))
    rates.removesPerSecond = done / seconds
  }
  if (insert) {
    const vectors = old.map(row => file.readFloats(row, 1))
    const { done, seconds } = await inBatches(rows, budgetMs, (from, to) => {
      const values = new Float32Array((to - from) * file.columns)
      for (let i = from; i < to; i++) values.set(vectors[i]!, (i - from) * file.columns)
      return insert(
        old.slice(from, to).map((_, i) => file.rows + from + i),
        values,
      )
    })
    const start = performance.now()
    await engine.settle?.()
    rates.insertsPerSecond = done / (seconds + secondsSince(start))
  }
  file.close()
  return rates
}

async function inBatches(
  rows: number,
  budgetMs: number,
  step: (from: number, to: number) => void | Promise<void>,
): Promise<{ done: number; seconds: number }> {
  const start = performance.now()
  let done = 0
  while (done < rows && performance.now() - start < budgetMs) {
    const to = Math.min(rows, done + CHURN_BATCH)
    await step(done, to)
    done = to
  }
  return { done, seconds: secondsSince(start) }
}

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000
}
