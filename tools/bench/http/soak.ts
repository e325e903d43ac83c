// `npm run bench -- soak`: writes, deletes and searches of every kind at four fifths of what the server can do, for as long as is
// asked for. What of its memory grows with time and not with the rows shows here.
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeFrame, FRAME_TYPE } from '@drift/client/wire'
import { machine } from '../machine.js'
import { quantile } from '../measure.js'
import { type Source, vectorsOf } from '../vectors.js'
import { ask } from './ask.js'
import { Load, type Request, type Requests } from './load.js'
import type { Held } from './protocol.js'

const SHARE = 0.8
const CALIBRATION_MS = 20_000
const CONNECTIONS = 16
/** Of one upsert and one delete. */
const UPSERT_ROWS = 200
const DELETE_ROWS = 50
/** One more is JSON with payloads, one has a filter. */
const FRAME_SEARCHES = 6
const LOOK_MS = 10_000
const JSON_TYPE = 'application/json'

export async function soak(source: Source, maxRows: number, minutes: number): Promise<void> {
  const facts = machine()
  const { base, query, dim } = vectorsOf(source, maxRows)
  const folder = mkdtempSync(join(tmpdir(), 'drift-bench-'))
  const load = new Load(folder)
  const child = fork(new URL('server.js', import.meta.url), { serialization: 'advanced' })
  try {
    const { url } = await ask(child, { do: 'start', folder: join(folder, 'db'), dim, metric: 'cosine' })
    const mix: Requests = { origin: url, each: mixOf(base, query, dim) }
    console.log(`${facts.cpu}, ${facts.cores} cores, Node ${facts.node}; ${base.length / dim} ids`)
    await load.closedLoop(mix, CONNECTIONS, { requests: mix.each.length })
    const full = await load.closedLoop(mix, CONNECTIONS, { ms: CALIBRATION_MS })
    const rate = (SHARE * full.latencies.length) / full.seconds
    console.log(`${rate.toFixed(0)} requests/s, ${SHARE} of what ${CONNECTIONS} connections make\n`)
    const watching = new AbortController()
    const watched = watch(child, watching.signal)
    const loaded = await load.openLoop(mix, rate, minutes * 60_000)
    watching.abort()
    await watched
    const [p50, p99] = [0.5, 0.99].map(q => (quantile(loaded.latencies, q) / 1000).toFixed(1))
    const statuses = [...loaded.statuses].map(([status, count]) => `${status || 'none'} ${count}`)
    console.log(`\n${statuses.join(', ')}; p50 ${p50} ms, p99 ${p99} ms`)
  } finally {
    await ask(child, { do: 'stop' }).catch(() => child.kill())
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Every id is written once, half as frames and half as JSON; a quarter of the ids is deleted until it is written again. */
function mixOf(base: Float32Array, queries: Float32Array, dim: number): Request[] {
  const rows = base.length / dim
  const each: Request[] = []
  const vectorAt = (all: Float32Array, i: number) => all.subarray(i * dim, (i + 1) * dim)
  let asked = 0
  const nextQuery = () => vectorAt(queries, asked++ % (queries.length / dim))
  for (let first = 0, turn = 0; first < rows; first += UPSERT_ROWS, turn++) {
    const count = Math.min(UPSERT_ROWS, rows - first)
    each.push(upsertOf(base.subarray(first * dim, (first + count) * dim), dim, first, turn % 2 === 0))
    const gone = Array.from({ length: DELETE_ROWS }, (_, i) => (first + rows / 2 + i) % rows)
    each.push(post('points/delete', JSON_TYPE, JSON.stringify({ ids: gone })))
    for (let i = 0; i < FRAME_SEARCHES; i++) {
      each.push(post('search', FRAME_TYPE, encodeFrame(1, dim, { k: 10 }, nextQuery())))
    }
    const query = Array.from(nextQuery())
    each.push(post('search', JSON_TYPE, JSON.stringify({ query, k: 10, payload: true })))
    const filter = { group: { $lt: 3 } }
    each.push(post('search', JSON_TYPE, JSON.stringify({ query: Array.from(nextQuery()), k: 10, filter })))
  }
  return each
}

function upsertOf(values: Float32Array, dim: number, firstId: number, asFrame: boolean): Request {
  const ids = Array.from({ length: values.length / dim }, (_, i) => firstId + i)
  const payloads = ids.map(id => ({ group: id % 10, text: `row ${id} of a mixed load` }))
  const to = { method: 'PUT', path: '/v1/collections/rows/points' } as const
  if (asFrame) {
    return { ...to, type: FRAME_TYPE, body: encodeFrame(ids.length, dim, { ids, payloads }, values) }
  }
  return { ...to, type: JSON_TYPE, body: JSON.stringify({ ids, vectors: Array.from(values), payloads }) }
}

function post(what: string, type: string, body: string | Uint8Array): Request {
  return { method: 'POST', path: `/v1/collections/rows/${what}`, type, body }
}

/** A line a minute, of the last look, and the range of what the process held since the line before. */
async function watch(child: ChildProcess, signal: AbortSignal): Promise<void> {
  console.log('| minute | RSS MiB | heap | external | slabs | rows | segments | segments MiB | open files |')
  console.log('|---:|---:|---:|---:|---:|---:|---:|---:|---:|')
  const since = performance.now()
  let seen: Held[] = []
  for (let minute = 1; !signal.aborted; ) {
    await new Promise(resolve => setTimeout(resolve, LOOK_MS))
    const held = await ask(child, { do: 'held' })
    seen.push(held)
    if (performance.now() - since < minute * 60_000) continue
    const rss = seen.map(({ rssMiB }) => rssMiB)
    const range = `${Math.min(...rss).toFixed(0)} to ${Math.max(...rss).toFixed(0)}`
    const { heapMiB, externalMiB, slabsMiB, rows, segments, segmentsMiB, openFiles } = held
    const sizes = [heapMiB, externalMiB, slabsMiB].map(size => size.toFixed(0))
    const cells = [minute, range, ...sizes, rows, segments, segmentsMiB.toFixed(0), openFiles]
    console.log(`| ${cells.join(' | ')} |`)
    seen = []
    minute = Math.floor((performance.now() - since) / 60_000) + 1
  }
}
