// The process of the server: serves, watches its own event loop, and answers the same searches without the network.
import { existsSync, readdirSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { type DriftServer, serve } from '@drift/http'
import { type Collection, Drift } from '@drift/server'
import Fastify, { type FastifyInstance } from 'fastify'
import { buildHnswlib } from '../hnswlib-engine.js'
import { quantile } from '../measure.js'
import { loadHnswlib } from '../peers.js'
import type { Answers, Ask, Embedded, Held, Watched } from './protocol.js'

const MIB = 2 ** 20
/** What prom-client takes. */
const RESOLUTION_MS = 10
/** Nothing is refused but by the queue of searches: the bench is one caller. */
const LIMITS = { requestsPerSecond: 1_000_000_000 }

const BARE_HIT = { id: 12_345, distance: 0.123456789, score: 0.876543211 }

let db: Drift
let docs: Collection
let server: DriftServer
let peer: FastifyInstance | undefined
let bare: Server
let delay: IntervalHistogram
let since = performance.now()
let cpu = process.cpuUsage()

process.on('message', (ask: Ask) => {
  answer(ask).then(
    reply => process.send!(reply, () => ask.do === 'stop' && process.disconnect()),
    (error: Error) => process.send!({ error: error.stack ?? error.message }),
  )
})

async function answer(ask: Ask): Promise<Answers[Ask['do']]> {
  switch (ask.do) {
    case 'start':
      return start(ask.folder, ask.dim, ask.metric)
    case 'settle':
      await docs.flush()
      await docs.maintain()
      return { rows: await docs.count() }
    case 'count':
      return { rows: await docs.count() }
    case 'held':
      return held()
    case 'embedded':
      return embedded(ask.queries, ask.k, ask.ms)
    case 'watch':
      return watched()
    case 'peer':
      return startPeer(ask.rows, ask.dim)
    case 'stop':
      await peer?.close()
      bare.close()
      await server.close()
      await db.close()
      return {}
  }
}

async function start(folder: string, dim: number, metric: 'l2' | 'cosine'): Promise<Answers['start']> {
  db = await Drift.open(folder, { sync: 'always' })
  docs = await db.collection('rows', { dim, metric })
  server = await serve({ db, port: 0, logger: false, limits: LIMITS })
  delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  bare = await bareServer()
  return { url: server.url, bare: `http://127.0.0.1:${(bare.address() as AddressInfo).port}` }
}

/** What HTTP costs in this process when there is nothing to do: an answer as long as that of a search. */
async function bareServer(): Promise<Server> {
  const answer = JSON.stringify({ hits: Array.from({ length: 10 }, () => BARE_HIT) })
  const http = createServer((request, response) => {
    request.resume().on('end', () => {
      response.setHeader('content-type', 'application/json')
      response.end(answer)
    })
  })
  await new Promise<void>(listening => http.listen(0, '127.0.0.1', listening))
  return http
}

function watched(): Watched {
  const ms = (nanoseconds: number) => nanoseconds / 1e6 - RESOLUTION_MS
  const now = performance.now()
  const { user, system } = process.cpuUsage(cpu)
  const seen = {
    delayP50: ms(delay.percentile(50)),
    delayP99: ms(delay.percentile(99)),
    delayMax: ms(delay.max),
    cpuShare: (user + system) / 1000 / (now - since),
    rssMiB: process.memoryUsage.rss() / MIB,
  }
  delay.reset()
  since = now
  cpu = process.cpuUsage()
  return seen
}

async function held(): Promise<Held> {
  const { rss, heapUsed, external } = process.memoryUsage()
  const { memory, rows, segments, diskBytes } = await docs.stats()
  const slabs = Object.values(memory).reduce((sum, bytes) => sum + bytes, 0)
  return {
    rssMiB: rss / MIB,
    heapMiB: heapUsed / MIB,
    externalMiB: external / MIB,
    slabsMiB: slabs / MIB,
    rows,
    segments,
    segmentsMiB: diskBytes / MIB,
    // Only Linux lists them here.
    openFiles: existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0,
  }
}

async function embedded(queries: Float32Array, k: number, ms: number): Promise<Embedded> {
  const { dim } = docs
  const count = queries.length / dim
  const microseconds: number[] = []
  const start = performance.now()
  for (let q = 0, last = start; last - start < ms; q = (q + 1) % count) {
    await docs.search(queries.subarray(q * dim, (q + 1) * dim), { k })
    const now = performance.now()
    microseconds.push((now - last) * 1000)
    last = now
  }
  const seconds = (performance.now() - start) / 1000
  let batches = 0
  const begun = performance.now()
  for (; performance.now() - begun < ms; batches++) await docs.searchBatch(queries, { k })
  return {
    p50Us: quantile(microseconds, 0.5),
    p99Us: quantile(microseconds, 0.99),
    queriesPerSecond: microseconds.length / seconds,
    batchQueriesPerSecond: (batches * count * 1000) / (performance.now() - begun),
  }
}

/** hnswlib-node as a service is mostly written: a route that takes JSON and answers with JSON. */
async function startPeer(rows: Float32Array, dim: number): Promise<Answers['peer']> {
  const hnswlib = loadHnswlib()
  if (!hnswlib) return {}
  const { engine } = buildHnswlib(hnswlib, rows, dim, 1)
  peer = Fastify()
  peer.post('/search', async request => {
    const { query, k, ef } = request.body as { query: number[]; k: number; ef: number }
    return { ids: await engine.search(Float32Array.from(query), k, ef) }
  })
  return { url: await peer.listen({ host: '127.0.0.1', port: 0 }) }
}
