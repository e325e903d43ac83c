/** Prometheus metrics: requests as they end, the database as it is when asked. Labels are bounded: routes, not URLs. */
import type { FastifyRequest } from 'fastify'
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { DriftDoor } from './engine-door.js'
import type { Runner } from './run.js'

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]

export class Metrics {
  readonly contentType: string
  readonly #registry = new Registry()
  readonly #requests: Histogram<'operation' | 'status'>

  constructor(db: DriftDoor, runner: Runner) {
    const registers = [this.#registry]
    this.contentType = this.#registry.contentType
    this.#requests = new Histogram({
      name: 'drift_http_request_seconds',
      help: 'Time from the request line to the end of the answer',
      labelNames: ['operation', 'status'],
      buckets: SECONDS,
      registers,
    })
    collectDefaultMetrics({ register: this.#registry })
    new Gauge({
      name: 'drift_http_queue',
      help: 'Calls that run or wait, by kind',
      labelNames: ['kind', 'state'],
      registers,
      collect() {
        for (const [kind, gate] of Object.entries(runner.gates)) {
          this.set({ kind, state: 'running' }, gate.running)
          this.set({ kind, state: 'waiting' }, gate.waiting)
        }
      },
    })
    databaseGauges(db, registers)
  }

  observe(request: FastifyRequest, status: number, ms: number): void {
    const { operation = 'other' } = request.routeOptions.config as { operation?: string }
    this.#requests.observe({ operation, status: String(status) }, ms / 1000)
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }
}

type Numbers = Readonly<Record<string, unknown>>

/** One reading of `db.stats()` fills them all. Numbers that the engine adds to its statistics appear by themselves. */
function databaseGauges(db: DriftDoor, registers: Registry[]): void {
  const gauge = (name: string, help: string, labelNames: string[]) =>
    new Gauge({ name, help, labelNames, registers })
  const collection = gauge('drift_collection', 'Figures of a collection: rows, buckets, segments, bytes', [
    'collection',
    'figure',
  ])
  const memory = gauge('drift_memory_bytes', 'Memory by slab', ['collection', 'slab'])
  const recall = gauge('drift_recall', 'Recall measured on a sample of the searches, with its interval', [
    'collection',
    'figure',
  ])
  const wal = gauge('drift_wal', 'Figures of the write-ahead log', ['figure'])
  new Gauge({
    name: 'drift_up',
    help: '1 while the database takes writes, 0 after a log or manifest write failed',
    registers,
    async collect() {
      const stats = await db.stats()
      this.set(stats.state === 'open' ? 1 : 0)
      // A dropped collection leaves nothing behind.
      for (const each of [collection, memory, recall]) each.reset()
      for (const { name, ...entry } of stats.collections) {
        each(entry, (figure, value) => collection.set({ collection: name, figure }, value))
        each(entry['memory'], (slab, value) => memory.set({ collection: name, slab }, value))
        each(entry['recall'], (figure, value) => recall.set({ collection: name, figure }, value))
      }
      each(stats.wal, (figure, value) => wal.set({ figure }, value))
    },
  })
}

function each(record: unknown, set: (name: string, value: number) => void): void {
  for (const [name, value] of Object.entries((record ?? {}) as Numbers)) {
    if (typeof value === 'number') set(name, value)
  }
}
