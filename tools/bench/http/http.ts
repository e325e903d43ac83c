// `npm run bench -- http`: Drift over loopback beside the embedded call. The server has a process of its own, in which its
// event loop is watched and the same searches are run without the network; this process is the load. Both share the machine.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeFrame, FRAME_TYPE } from '@drift/client/wire'
import { type DataSet, prepare } from '../data-set.js'
import { machine } from '../machine.js'
import { quantile } from '../measure.js'
import { type Source, vectorsOf } from '../vectors.js'
import { closedLoop, type Loaded, openLoop, type Requests } from './load.js'
import type { Answers, Ask, Watched } from './protocol.js'

const K = 10
const BATCH_ROWS = 1_000
const UPSERTS_IN_FLIGHT = 4
const CONNECTIONS = [1, 8, 64]
const MS = 2_500
/** Times the capacity. */
const OVERLOAD = 3
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
  const child = fork(new URL('server.js', import.meta.url), { serialization: 'advanced' })
  try {
    const { url, bare } = await ask(child, {
      do: 'start',
      folder: join(folder, 'db'),
      dim,
      metric: metric === 'l2' ? 'l2' : 'cosine',
    })
    const bodies = searchBodies(url, query, dim)
    await importing(child, url, base, dim, bodies.binary)
    await ask(child, { do: 'settle' })
    await searching(child, query, { bare: { ...bodies.binary, origin: bare }, ...bodies })
    const found = set.recall(await answersOf(bodies.json, ({ hits }) => hits!.map(hit => hit.id)), K)
    console.log(`recall@${K} of these searches: ${found.toFixed(4)}\n`)
    await peer(child, set, found, base, query, dim)
  } finally {
    await ask(child, { do: 'stop' }).catch(() => child.kill())
    rmSync(folder, { recursive: true, force: true })
  }
}

/** All rows, while another connection searches. */
async function importing(
  child: ChildProcess,
  origin: string,
  base: Float32Array,
  dim: number,
  search: Requests,
): Promise<void> {
  const frames = upsertFrames(base, dim)
  const upserts: Requests = {
    origin,
    method: 'PUT',
    path: '/v1/collections/rows/points',
    type: FRAME_TYPE,
    bodies: frames,
  }
  await ask(child, { do: 'watch' })
  let writing = true
  const searched = closedLoop(search, 1, () => writing)
  const written = await closedLoop(upserts, UPSERTS_IN_FLIGHT, sent => sent < frames.length)
  writing = false
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
  queries: Float32Array,
  bodies: { readonly bare: Requests; readonly json: Requests; readonly binary: Requests },
): Promise<void> {
  const embedded = await ask(child, { do: 'embedded', queries, k: K, ms: MS })
  console.log('| search | connections | queries/s | p50 us | p99 us | server, CPU us each | delay p99, ms |')
  console.log('|---|---:|---:|---:|---:|---:|---:|')
  const line = (...cells: (string | number)[]) => console.log(`| ${cells.join(' | ')} |`)
  const { queriesPerSecond, p50Us, p99Us, batchQueriesPerSecond } = embedded
  line('embedded', '', queriesPerSecond.toFixed(0), p50Us.toFixed(0), p99Us.toFixed(0), '', '')
  line('embedded, batches, all threads', '', batchQueriesPerSecond.toFixed(0), '', '', '', '')
  let capacity = 0
  let atCapacity = 0
  for (const [name, requests] of Object.entries(bodies)) {
    for (const connections of CONNECTIONS) {
      await run(requests, connections, 500)
      await ask(child, { do: 'watch' })
      const loaded = await run(requests, connections, MS)
      const watched = await ask(child, { do: 'watch' })
      const rate = loaded.latencies.length / loaded.seconds
      const p99 = quantile(loaded.latencies, 0.99)
      line(
        name,
        connections,
        rate.toFixed(0),
        quantile(loaded.latencies, 0.5).toFixed(0),
        p99.toFixed(0),
        ((1e6 * watched.cpuShare) / rate).toFixed(0),
        watched.delayP99.toFixed(1),
      )
      if (name === 'binary') [capacity, atCapacity] = [rate, p99]
    }
  }
  const over = await openLoop(bodies.binary, OVERLOAD * capacity, MS)
  const watched = await ask(child, { do: 'watch' })
  const accepted = quantile(over.latencies, 0.99)
  console.log(
    `\n${OVERLOAD} times that rate: ${(over.latencies.length / over.seconds).toFixed(0)} answered/s; ${latencies(over)}, ` +
      `${(accepted / atCapacity).toFixed(2)} of the p99 before; statuses ${statuses(over)}; server: ${seen(watched)}\n`,
  )
}

/** hnswlib-node behind Fastify, with the least ef of the list at which it finds as much as Drift. */
async function peer(
  child: ChildProcess,
  set: DataSet,
  wanted: number,
  rows: Float32Array,
  query: Float32Array,
  dim: number,
): Promise<void> {
  const { url } = await ask(child, { do: 'peer', rows, dim })
  if (url === undefined) return console.log('hnswlib-node is not installed (npm run bench -- peers)')
  const asking = (ef: number): Requests => ({
    origin: url,
    method: 'POST',
    path: '/search',
    type: 'application/json',
    bodies: eachQuery(query, dim).map(vector => JSON.stringify({ query: Array.from(vector), k: K, ef })),
  })
  let requests = asking(PEER_EFS[0]!)
  for (const ef of PEER_EFS) {
    requests = asking(ef)
    const found = set.recall(await answersOf(requests, ({ ids }) => ids!), K)
    console.log(`hnswlib-node, ef ${ef}: recall@${K} ${found.toFixed(4)}`)
    if (found >= wanted) break
  }
  for (const connections of CONNECTIONS) {
    await run(requests, connections, 500)
    await ask(child, { do: 'watch' })
    const loaded = await run(requests, connections, MS)
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
  { origin, method, path, type, bodies }: Requests,
  idsIn: (answer: Answer) => readonly number[],
): Promise<(readonly number[])[]> {
  const answers: (readonly number[])[] = []
  for (const body of bodies) {
    const answer = await fetch(origin + path, {
      method,
      headers: { 'content-type': type },
      body: body as string,
    })
    answers.push(idsIn((await answer.json()) as Answer))
  }
  return answers
}

function run(requests: Requests, connections: number, ms: number): Promise<Loaded> {
  const end = performance.now() + ms
  return closedLoop(requests, connections, () => performance.now() < end)
}

function searchBodies(
  origin: string,
  queries: Float32Array,
  dim: number,
): { readonly json: Requests; readonly binary: Requests } {
  const each = eachQuery(queries, dim)
  const to = { origin, method: 'POST', path: '/v1/collections/rows/search' } as const
  const json = each.map(query => JSON.stringify({ query: Array.from(query), k: K }))
  const binary = each.map(query => encodeFrame(1, dim, { k: K }, query))
  return {
    json: { ...to, type: 'application/json', bodies: json },
    binary: { ...to, type: FRAME_TYPE, bodies: binary },
  }
}

function upsertFrames(base: Float32Array, dim: number): Uint8Array[] {
  const frames: Uint8Array[] = []
  for (let first = 0; first * dim < base.length; first += BATCH_ROWS) {
    const values = base.subarray(first * dim, (first + BATCH_ROWS) * dim)
    const count = values.length / dim
    const ids = Array.from({ length: count }, (_, i) => first + i)
    frames.push(encodeFrame(count, dim, { ids }, values))
  }
  return frames
}

function eachQuery(queries: Float32Array, dim: number): Float32Array[] {
  return Array.from({ length: queries.length / dim }, (_, q) => queries.subarray(q * dim, (q + 1) * dim))
}

function latencies({ latencies: all }: Loaded): string {
  const ms = (q: number) => (quantile(all, q) / 1000).toFixed(2)
  return `p50 ${ms(0.5)} ms, p99 ${ms(0.99)} ms, longest ${(Math.max(0, ...all) / 1000).toFixed(1)} ms`
}

function statuses({ statuses: counts }: Loaded): string {
  return [...counts].map(([status, count]) => `${status || 'none'} ${count}`).join(', ')
}

function seen({ delayP50, delayP99, delayMax, cpuShare, rssMiB }: Watched): string {
  const delays = [delayP50, delayP99, delayMax].map(ms => ms.toFixed(1)).join(' / ')
  return `event-loop delay p50 / p99 / longest ${delays} ms, ${cpuShare.toFixed(2)} cores, ${rssMiB.toFixed(0)} MiB`
}

async function ask<D extends Ask['do']>(
  child: ChildProcess,
  request: Extract<Ask, { do: D }>,
): Promise<Answers[D]> {
  child.send(request)
  const [reply] = (await once(child, 'message')) as [Answers[D] | { error: string }]
  if (typeof reply === 'object' && 'error' in reply) throw new Error(reply.error)
  return reply
}
