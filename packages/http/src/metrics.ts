/** Prometheus metrics: requests as they end, the database as it is when asked. Labels are bounded: routes, not URLs. */
import type { FastifyRequest } from 'fastify'
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { DriftDoor } from './engine-door.js'
import type { Runner } from './run.js'

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]

export class Metrics {
  readonly contentType: string
  readonly #registry = new Registry()
  readonly #readDatabase: () => Promise<void>
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
    this.#readDatabase = databaseGauges(db, registers)
  }

  observe(request: FastifyRequest, status: number, ms: number): void {
    const { operation = 'other' } = request.routeOptions.config as { operation?: string }
    this.#requests.observe({ operation, status: String(status) }, ms / 1000)
  }

  async text(): Promise<string> {
    await this.#readDatabase()
    return this.#registry.metrics()
  }
}

type Numbers = Readonly<Record<string, unknown>>

/**
 * One reading of `db.stats()` fills them all. Numbers that the engine adds to its statistics appear by themselves.
 *
 * @returns what has to be called before the metrics are written: prom-client asks each metric on its own and at once.
 */
function databaseGauges(db: DriftDoor, registers: Registry[]): () => Promise<void> {
  const gauge = <L extends string>(name: string, help: string, labelNames: L[]): Gauge<L> =>
    new Gauge({ name, help, labelNames, registers })
  const up = gauge(
    'drift_up',
    '1 while the database takes writes, 0 after a log or manifest write failed',
    [],
  )
  const figures = gauge('drift_collection', 'Figures of a collection: rows, buckets, segments, bytes', [
    'collection',
    'figure',
  ])
  const memory = gauge('drift_memory_bytes', 'Memory by slab', ['collection', 'slab'])
  const recall = gauge('drift_recall', 'Recall measured on a sample of the searches, with its interval', [
    'collection',
    'figure',
  ])
  const wal = gauge('drift_wal', 'Figures of the write-ahead log', ['figure'])
  return async () => {
    const stats = await db.stats()
    up.set(stats.state === 'open' ? 1 : 0)
    // A dropped collection leaves nothing behind.
    for (const stale of [figures, memory, recall]) stale.reset()
    for (const { name: collection, ...entry } of stats.collections) {
      each(entry, (figure, value) => figures.set({ collection, figure }, value))
      each(entry['memory'], (slab, value) => memory.set({ collection, slab }, value))
      each(entry['recall'], (figure, value) => recall.set({ collection, figure }, value))
    }
    each(stats.wal, (figure, value) => wal.set({ figure }, value))
  }
}

function each(record: unknown, set: (name: string, value: number) => void): void {
  for (const [name, value] of Object.entries((record ?? {}) as Numbers)) {
    if (typeof value === 'number') set(name, value)
  }
}
