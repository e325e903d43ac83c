// `npm run bench -- smoke`: the figures of one machine in a few minutes, on real vectors, beside hnswlib-node when the
// peers are installed. Prints them and keeps them as JSON.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { toolsFolder } from '../data/place.js'
import { truth } from '../data/truth.js'
import { normalise } from '../data/unit-length.js'
import { bruteForce } from './brute-force-engine.js'
import { buildDrift } from './drift-engine.js'
import { opening, upsertRate } from './durable.js'
import { buildHnswlib } from './hnswlib-engine.js'
import { kernelRatios } from './kernel-ratio.js'
import { machine } from './machine.js'
import { type Contender, eachRow, measure } from './measure.js'
import { loadHnswlib } from './peers.js'
import { type Source, vectorsOf } from './vectors.js'

const K = 10
const PASSES = 5
const PROBES = [16, 32, 64, 128, 256]
const EF = [16, 24, 32, 48, 64, 96, 128, 256]

/** Engines are compared at equal recall: the fastest setting of each that reaches it. */
const RECALLS = [0.9, 0.95, 0.99]

/** Rows written by batch size: small batches pay a disk flush each, so fewer rows tell as much. */
const UPSERT_ROWS: Readonly<Record<number, number>> = { 1: 500, 100: 10_000, 1000: 20_000 }

export async function smoke(source: Source, maxRows: number, seed: number): Promise<void> {
  const facts = machine()
  const { name } = source
  const { dim, base: rows, query: queries } = vectorsOf(source, maxRows)
  normalise(rows, dim, `${name}, base`)
  normalise(queries, dim, `${name}, query`)
  const count = rows.length / dim
  console.log(
    `${facts.cpu}, ${facts.cores} cores, ${facts.memoryGiB} GiB, ${facts.platform}, Node ${facts.node}, kernels ${facts.kernels}`,
  )
  console.log(
    `${name}: ${count} rows of ${dim} dimensions, ${queries.length / dim} queries, k = ${K}, cosine\n`,
  )

  const upserts = []
  for (const [batchRows, wanted] of Object.entries(UPSERT_ROWS)) {
    const rate = await upsertRate(rows.subarray(0, Math.min(wanted, count) * dim), dim, Number(batchRows))
    upserts.push(rate)
    console.log(`durable upserts, batches of ${batchRows}: ${rate.rowsPerSecond.toFixed(0)} rows/s`)
  }

  const opened = await opening(rows, dim)
  console.log(`open ${opened.rows} flushed rows: ${opened.openMs.toFixed(0)} ms`)
  console.log(
    `on disk: ${opened.diskBytesPerRow.toFixed(0)} bytes/row (the vectors alone: ${dim * 4}), and a log of ${opened.logBytes / 2 ** 20} MiB`,
  )

  const ratios = kernelRatios(rows, dim)
  for (const { kernel, nsPerRow, ratio } of ratios) {
    console.log(`${kernel}: ${nsPerRow.toFixed(1)} ns/row, ${ratio.toFixed(1)} times the reference`)
  }

  const drift = await buildDrift(rows, dim)
  const { memory: slabs } = await drift.collection.stats()
  const memory = Object.values(slabs).reduce((sum, bytes) => sum + bytes, 0)
  console.log(`in memory: ${(memory / count).toFixed(0)} bytes/row`)
  console.log(`\nbuilt drift in ${(drift.buildMs / 1000).toFixed(1)} s`)
  const hnswlib = loadHnswlib()
  const peer = hnswlib ? buildHnswlib(hnswlib, rows, dim, seed) : undefined
  console.log(
    peer
      ? `built hnswlib-node in ${(peer.buildMs / 1000).toFixed(1)} s`
      : 'hnswlib-node is not installed (npm run bench -- peers)',
  )

  const brute = bruteForce(rows, dim, K)
  const contenders: Contender[] = [
    { engine: drift.engine, setting: undefined },
    ...PROBES.map(setting => ({ engine: drift.engine, setting })),
    ...(peer ? EF.map(setting => ({ engine: peer.engine, setting })) : []),
    { engine: brute, setting: undefined },
  ]
  const measured = await measure(
    contenders,
    eachRow(queries, dim),
    truth(rows, queries, dim, 'ip', K),
    PASSES,
  )
  const searches = contenders.map(({ engine, setting }, i) => ({
    engine: engine.name,
    knob: engine.knob,
    setting: setting ?? 'default',
    ...measured[i]!,
  }))
  console.log('one query at a time, one thread, engines in turns:')
  for (const row of searches) {
    const label = `${row.engine}${row.knob ? ` ${row.knob} ${row.setting}` : ''}`
    console.log(
      `  ${label.padEnd(24)} recall@${K} ${row.recall.toFixed(4)}  ${row.queriesPerSecond.toFixed(0).padStart(7)} queries/s` +
        `  p50 ${row.p50Us.toFixed(0)} us  p99 ${row.p99Us.toFixed(0)} us`,
    )
  }
  for (const wanted of RECALLS) {
    const fastest = ['drift', 'hnswlib-node', 'brute force'].flatMap(name => {
      const own = searches.filter(row => row.engine === name && row.recall >= wanted)
      return own.length === 0
        ? []
        : [`${name} ${Math.max(...own.map(row => row.queriesPerSecond)).toFixed(0)}`]
    })
    console.log(`queries/s at a recall@${K} of at least ${wanted}: ${fastest.join(', ')}`)
  }
  await drift.engine.close()

  const out = join(toolsFolder, 'bench', 'out')
  mkdirSync(out, { recursive: true })
  const report = {
    date: new Date().toISOString(),
    machine: facts,
    data: { name, rows: count, dim, queries: queries.length / dim, k: K },
    seed,
    upserts,
    opening: opened,
    memoryBytesPerRow: memory / count,
    kernels: ratios,
    build: { driftMs: drift.buildMs, hnswlibMs: peer?.buildMs },
    searches,
  }
  const path = join(out, `smoke-${report.date.replaceAll(':', '-')}.json`)
  writeFileSync(path, `${JSON.stringify(report, undefined, 2)}\n`)
  console.log(`\nkept in ${path}`)
}
