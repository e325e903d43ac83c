// `npm run bench -- http`: Drift over loopback beside the embedded call. The server has a process of its own, in which its
// event loop is watched and the same searches are run without the network; this process is the load. Both share the machine.
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeFrame, FRAME_TYPE } from '@drift/client/wire'
import { type DataSet, prepare } from '../data-set.js'
import { machine } from '../machine.js'
import { quantile } from '../measure.js'
import { type Source, vectorsOf } from '../vectors.js'
import { ask } from './ask.js'
import { Load, type Loaded, MOST_CONNECTIONS, type Requests } from './load.js'
import type { Watched } from './protocol.js'

const K = 10
const BATCH_ROWS = 1_000
const UPSERTS_IN_FLIGHT = 4
const CONNECTIONS = [1, 8, 64]
const MS = 2_500
/** Searches of about a millisecond: the load costs a hundredth of one, so that many times the capacity can be sent. */
const SLOW = { k: 100, probes: 3_500 }
/** What the server lets wait while it is overloaded: two fifths of its `queueMs`. */
const ADMITTED_SECONDS = 0.1
/** Times the capacity. */
const LOADS = [0.8, 1, 2, 3]
/** Written meanwhile, so many rows a request: what was acknowledged has to be there. */
const OVERLOAD_UPSERTS = 50
const OVERLOAD_ROWS = 10
/** Tried in turns until the peer finds as much as Drift does. */
const PEER_EFS = [16, 24, 32, 48, 64, 96, 128, 192, 256]

export async function http(source: Source, maxRows: number): Promise<void> {
  const facts = machine()
  const set = prepare(source, maxRows)
  const { metric } = set
  const { base, query, dim } = vectorsOf(source, maxRows)
  const rows = base.length / dim
  console.log(`${facts.cpu}, ${facts.cores} cores, Node ${facts.node}, kernels ${facts.kernels}`)
  console.log(`${source.name}: ${rows} rows of ${dim}, k ${K}; server and load on the same cores\n`)
  const folder = mkdtempSync(join(tmpdir(), 'drift-bench-'))
  const load = new Load(folder)
  const child = fork(new URL('server.js', import.meta.url), { serialization: 'advanced' })
  try {
    const { url, bare } = await ask(child, {
      do: 'start',
      folder: join(folder, 'db'),
      dim,
      metric: metric === 'l2' ? 'l2' : 'cosine',
    })
    const bodies = searchBodies(url, query, dim)
    await importing(child, load, url, base, dim, bodies.binary)
    await ask(child, { do: 'settle' })
    await searching(child, load, query, { bare: { ...bodies.binary, origin: bare }, ...bodies })
    const found = set.recall(await answersOf(bodies.json, ({ hits }) => hits!.map(hit => hit.id)), K)
    console.log(`recall@${K} of these searches: ${found.toFixed(4)}\n`)
    // Last: its writer leaves copies of rows.
    await overload(child, load, url, query, base, dim)
    await peer(child, load, set, found, base, query, dim)
  } finally {
    await ask(child, { do: 'stop' }).catch(() => child.kill())
    rmSync(folder, { recursive: true, force: true })
  }
}

/** All rows, while another connection searches. */
async function importing(
  child: ChildProcess,
  load: Load,
  origin: string,
  base: Float32Array,
  dim: number,
  search: Requests,
): Promise<void> {
  const frames = upsertFrames(base, dim, BATCH_ROWS, 0)
  const upserts = upsertsOf(origin, frames)
  await ask(child, { do: 'watch' })
  const writing = new AbortController()
  const searched = load.closedLoop(search, 1, { signal: writing.signal })
  const written = await load.closedLoop(upserts, UPSERTS_IN_FLIGHT, { requests: frames.length })
  writing.abort()
  const watched = await ask(child, { do: 'watch' })
  const searches = await searched
  const rate = base.length / dim / written.seconds
  console.log(`upsert, binary, sync always, ${BATCH_ROWS} rows a request, ${UPSERTS_IN_FLIGHT} connections:`)
  console.log(`  ${rate.toFixed(0)} rows/s; ${latencies(written)}; statuses ${statuses(written)}`)
  console.log(`  searches meanwhile, one connection: ${latencies(searches)}; statuses ${statuses(searches)}`)
  console.log(`  server: ${seen(watched)}\n`)
}

async function searching(
  child: ChildProcess,
  load: Load,
  queries: Float32Array,
  bodies: { readonly bare: Requests; readonly json: Requests; readonly binary: Requests },
): Promise<void> {
  const embedded = await ask(child, { do: 'embedded', queries, k: K, ms: MS })
  console.log(
    '| search | connections | queries/s | p50 us | p99 us | server, CPU us each | load, CPU us each |',
  )
  console.log('|---|---:|---:|---:|---:|---:|---:|')
  const line = (...cells: (string | number)[]) => console.log(`| ${cells.join(' | ')} |`)
  const { queriesPerSecond, p50Us, p99Us, batchQueriesPerSecond } = embedded
  line('embedded', '', queriesPerSecond.toFixed(0), p50Us.toFixed(0), p99Us.toFixed(0), '', '')
  line('embedded, batches, all threads', '', batchQueriesPerSecond.toFixed(0), '', '', '', '')
  for (const [name, requests] of Object.entries(bodies)) {
    for (const connections of CONNECTIONS) {
      await load.closedLoop(requests, connections, { ms: 500 })
      await ask(child, { do: 'watch' })
      const loaded = await load.closedLoop(requests, connections, { ms: MS })
      const watched = await ask(child, { do: 'watch' })
      const { rate, p50, p99 } = figures(loaded)
      line(
        name,
        connections,
        rate.toFixed(0),
        p50.toFixed(0),
        p99.toFixed(0),
        ((1e6 * watched.cpuShare) / rate).toFixed(0),
        ((1e6 * loaded.cpuSeconds) / loaded.latencies.length).toFixed(0),
      )
    }
  }
  console.log()
}

/** More than the server can do, beside a writer: how long what is answered takes, and whether what was acknowledged is there. */
async function overload(
  child: ChildProcess,
  load: Load,
  origin: string,
  queries: Float32Array,
  base: Float32Array,
  dim: number,
): Promise<void> {
  const searches = searchesOf(
    origin,
    FRAME_TYPE,
    eachQuery(queries, dim).map(query => encodeFrame(1, dim, SLOW, query)),
  )
  const capacity = figures(await load.closedLoop(searches, 64, { ms: MS }))
  const { k, probes } = SLOW
  console.log(
    `overload: k ${k}, ${probes} buckets; 64 connections make ${capacity.rate.toFixed(0)}/s, p99 ${ms(capacity.p99)} ms`,
  )
  if (MOST_CONNECTIONS < capacity.rate * ADMITTED_SECONDS)
    console.log(
      `${MOST_CONNECTIONS} connections keep no queue of ${ADMITTED_SECONDS} s full at this rate, so what is late below waits for a connection of the load: take a larger set`,
    )
  console.log(
    '| times that | answered/s | refused/s | lost | p50 ms | p99 ms | delay p50 / p99 ms | load, CPU |',
  )
  console.log('|---:|---:|---:|---:|---:|---:|---:|---:|')
  let next = base.length / dim
  for (const times of LOADS) {
    const rows = base.subarray(0, OVERLOAD_UPSERTS * OVERLOAD_ROWS * dim)
    const upserts = upsertsOf(origin, upsertFrames(rows, dim, OVERLOAD_ROWS, next))
    next += OVERLOAD_UPSERTS * OVERLOAD_ROWS
    const before = await ask(child, { do: 'count' })
    await ask(child, { do: 'watch' })
    const writing = load.closedLoop(upserts, 1, { requests: OVERLOAD_UPSERTS })
    const loaded = await load.openLoop(searches, times * capacity.rate, MS)
    const watched = await ask(child, { do: 'watch' })
    const written = await writing
    const after = await ask(child, { do: 'count' })
    const missing = OVERLOAD_ROWS * written.latencies.length - (after.rows - before.rows)
    const { rate, p50, p99 } = figures(loaded)
    const lost = loaded.statuses.get(0) ?? 0
    const sent = [...loaded.statuses.values()].reduce((sum, count) => sum + count, 0)
    const refused = (sent - loaded.latencies.length - lost) / loaded.seconds
    const cells = [
      times,
      rate.toFixed(0),
      refused.toFixed(0),
      lost,
      ms(p50),
      ms(p99),
      `${watched.delayP50.toFixed(1)} / ${watched.delayP99.toFixed(1)}`,
      (loaded.cpuSeconds / loaded.seconds).toFixed(2),
    ]
    console.log(`| ${cells.join(' | ')} |`)
    console.log(
      `upserts meanwhile: ${latencies(written)}; statuses ${statuses(written)}; acknowledged rows missing: ${missing}`,
    )
  }
  console.log()
}

/** hnswlib-node behind Fastify, with the least ef of the list at which it finds as much as Drift. */
async function peer(
  child: ChildProcess,
  load: Load,
  set: DataSet,
  wanted: number,
  rows: Float32Array,
  query: Float32Array,
  dim: number,
): Promise<void> {
  const { url } = await ask(child, { do: 'peer', rows, dim })
  if (url === undefined) return console.log('hnswlib-node is not installed (npm run bench -- peers)')
  const to = { method: 'POST', path: '/search', type: 'application/json' } as const
  const asking = (ef: number): Requests => ({
    origin: url,
    each: eachQuery(query, dim).map(vector => ({
      ...to,
      body: JSON.stringify({ query: Array.from(vector), k: K, ef }),
    })),
  })
  let requests = asking(PEER_EFS[0]!)
  for (const ef of PEER_EFS) {
    requests = asking(ef)
    const found = set.recall(await answersOf(requests, ({ ids }) => ids!), K)
    console.log(`hnswlib-node, ef ${ef}: recall@${K} ${found.toFixed(4)}`)
    if (found >= wanted) break
  }
  for (const connections of CONNECTIONS) {
    await load.closedLoop(requests, connections, { ms: 500 })
    await ask(child, { do: 'watch' })
    const loaded = await load.closedLoop(requests, connections, { ms: MS })
    const { cpuShare } = await ask(child, { do: 'watch' })
    const rate = loaded.latencies.length / loaded.seconds
    console.log(
      `hnswlib-node behind Fastify, JSON, ${connections} connections: ${rate.toFixed(0)}/s; ${latencies(loaded)}; ` +
        `${((1e6 * cpuShare) / rate).toFixed(0)} us of the server each`,
    )
  }
}

interface Answer {
  readonly hits?: readonly { readonly id: number }[]
  readonly ids?: readonly number[]
}

/** Of each query once. */
async function answersOf(
  { origin, each }: Requests,
  idsIn: (answer: Answer) => readonly number[],
): Promise<(readonly number[])[]> {
  const answers: (readonly number[])[] = []
  for (const { method, path, type, body } of each) {
    const answer = await fetch(origin + path, {
      method,
      headers: { 'content-type': type },
      body: body as string,
    })
    answers.push(idsIn((await answer.json()) as Answer))
  }
  return answers
}

function searchBodies(
  origin: string,
  queries: Float32Array,
  dim: number,
): { readonly json: Requests; readonly binary: Requests } {
  const each = eachQuery(queries, dim)
  const json = each.map(query => JSON.stringify({ query: Array.from(query), k: K }))
  const binary = each.map(query => encodeFrame(1, dim, { k: K }, query))
  return {
    json: searchesOf(origin, 'application/json', json),
    binary: searchesOf(origin, FRAME_TYPE, binary),
  }
}

function searchesOf(origin: string, type: string, bodies: readonly (string | Uint8Array)[]): Requests {
  const to = { method: 'POST', path: '/v1/collections/rows/search', type } as const
  return { origin, each: bodies.map(body => ({ ...to, body })) }
}

function upsertsOf(origin: string, frames: readonly Uint8Array[]): Requests {
  const to = { method: 'PUT', path: '/v1/collections/rows/points', type: FRAME_TYPE } as const
  return { origin, each: frames.map(body => ({ ...to, body })) }
}

/** @param firstId - the others follow. */
function upsertFrames(base: Float32Array, dim: number, rows: number, firstId: number): Uint8Array[] {
  const frames: Uint8Array[] = []
  for (let first = 0; first * dim < base.length; first += rows) {
    const values = base.subarray(first * dim, (first + rows) * dim)
    const count = values.length / dim
    const ids = Array.from({ length: count }, (_, i) => firstId + first + i)
    frames.push(encodeFrame(count, dim, { ids }, values))
  }
  return frames
}

function eachQuery(queries: Float32Array, dim: number): Float32Array[] {
  return Array.from({ length: queries.length / dim }, (_, q) => queries.subarray(q * dim, (q + 1) * dim))
}

function figures({ latencies: all, seconds }: Loaded): { rate: number; p50: number; p99: number } {
  return { rate: all.length / seconds, p50: quantile(all, 0.5), p99: quantile(all, 0.99) }
}

function latencies({ latencies: all }: Loaded): string {
  const [p50, p99, longest] = [0.5, 0.99, 1].map(q => ms(quantile(all, q)))
  return `p50 ${p50} ms, p99 ${p99} ms, longest ${longest} ms`
}

function ms(us: number): string {
  return (us / 1000).toFixed(2)
}

function statuses({ statuses: counts }: Loaded): string {
  return [...counts].map(([status, count]) => `${status || 'none'} ${count}`).join(', ')
}

function seen({ delayP50, delayP99, delayMax, cpuShare, rssMiB }: Watched): string {
  const delays = [delayP50, delayP99, delayMax].map(ms => ms.toFixed(1)).join(' / ')
  return `event-loop delay p50 / p99 / longest ${delays} ms, ${cpuShare.toFixed(2)} cores, ${rssMiB.toFixed(0)} MiB`
}
