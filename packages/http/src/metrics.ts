/** Prometheus metrics: requests as they end, the database as it is when asked. Labels are bounded: routes, not URLs. */
import type { MaintenanceEvent } from '@drift/server'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { DriftDoor } from './engine-door.js'
import type { Runner } from './run.js'

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]

export class Metrics {
  readonly contentType: string
  readonly #registry = new Registry()
  readonly #readDatabase: () => Promise<void>
  readonly #requests: Histogram<'operation' | 'status'>
  readonly #cuts: Counter<'operation' | 'code'>
  /** By operation and status. */
  readonly #observers: Map<string, Map<number, Pick<Histogram.Internal<string>, 'observe'>>> = new Map()
  readonly #close: () => void

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
    this.#cuts = new Counter({
      name: 'drift_http_cut_total',
      help: 'Answers that had begun and ended before their end, by the code of what cut them',
      labelNames: ['operation', 'code'],
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
    this.#close = countMaintenance(db, registers)
  }

  /** Stops listening to the database. */
  close(): void {
    this.#close()
  }

  observe(operation: string, status: number, ms: number): void {
    const known = this.#observers.get(operation)?.get(status)
    const observer = known ?? this.#requests.labels(operation, String(status))
    if (known === undefined) {
      const byStatus = this.#observers.get(operation) ?? new Map()
      this.#observers.set(operation, byStatus.set(status, observer))
    }
    observer.observe(ms / 1000)
  }

  /** An answer that was observed was not whole. */
  cut(operation: string, code: string): void {
    this.#cuts.inc({ operation, code })
  }

  async text(): Promise<string> {
    await this.#readDatabase()
    return this.#registry.metrics()
  }
}

/**
 * A gauge for each figure of the statistics, so that a metric has one unit, and its name ends with it: `unflushedRows` of a collection is
 * drift_collection_unflushed_rows.
 */
class Figures<L extends string> {
  readonly #gauges = new Map<string, Gauge<L>>()
  readonly #make: (figure: string) => Gauge<L>

  /** @param what - these are figures of. */
  constructor(prefix: string, what: string, labelNames: L[], registers: Registry[]) {
    this.#make = figure => {
      const name = `${prefix}_${figure.replace(/[A-Z]/g, upper => `_${upper.toLowerCase()}`)}`
      return new Gauge({ name, help: `Of ${what}: ${figure}`, labelNames, registers })
    }
  }

  set(figure: string, labels: Partial<Record<L, string | number>>, value: number): void {
    const known = this.#gauges.get(figure) ?? this.#make(figure)
    this.#gauges.set(figure, known)
    known.set(labels, value)
  }

  reset(): void {
    for (const gauge of this.#gauges.values()) gauge.reset()
  }
}

/** Figures whose name in the statistics does not say their unit. */
const RATIOS: Readonly<Record<string, string>> = {
  measured: 'measuredRatio',
  low95: 'low95Ratio',
  high95: 'high95Ratio',
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
  const figures = new Figures('drift_collection', 'a collection', ['collection'], registers)
  const memory = gauge('drift_memory_bytes', 'Memory by slab', ['collection', 'slab'])
  const recall = new Figures(
    'drift_recall',
    'the recall measured on a sample of the searches',
    ['collection', 'k', 'target'],
    registers,
  )
  const wal = new Figures('drift_wal', 'the write-ahead log', [], registers)
  const disk = new Figures('drift_disk', 'the disk', [], registers)
  const failing = gauge('drift_failing', '1 while flushes or compactions fail and are tried again', [])
  return async () => {
    const stats = await db.stats()
    up.set(stats.state === 'open' ? 1 : 0)
    // A dropped collection leaves nothing behind.
    for (const stale of [figures, memory, recall]) stale.reset()
    for (const { name: collection, ...entry } of stats.collections) {
      each(entry, (figure, value) => figures.set(figure, { collection }, value))
      each(entry['memory'], (slab, value) => memory.set({ collection, slab }, value))
      for (const { k, target, ...measured } of (entry['recall'] ?? []) as Record<'k' | 'target', number>[])
        each(measured, (figure, value) =>
          recall.set(RATIOS[figure] ?? figure, { collection, k, target }, value),
        )
    }
    // Of a disk without a limit it is infinite, and then there is nothing to watch.
    each(stats['disk'], (figure, value) => Number.isFinite(value) && disk.set(figure, {}, value))
    failing.set(stats['lastError'] === undefined ? 0 : 1)
    each(stats.wal, (figure, value) => wal.set(figure, {}, value))
  }
}

/** @returns what stops it. */
function countMaintenance(db: DriftDoor, registers: Registry[]): () => void {
  const labelNames = ['collection', 'kind'] as const
  const operations = new Counter({
    name: 'drift_maintenance_operations_total',
    help: 'Healing operations that were done',
    labelNames,
    registers,
  })
  const seconds = new Counter({
    name: 'drift_maintenance_seconds_total',
    help: 'Time spent on them',
    labelNames,
    registers,
  })
  const listener = ({ collection, kind, seconds: took }: MaintenanceEvent): void => {
    operations.inc({ collection, kind })
    seconds.inc({ collection, kind }, took)
  }
  db.on?.('maintenance', listener)
  return () => db.off?.('maintenance', listener)
}

function each(record: unknown, set: (name: string, value: number) => void): void {
  for (const [name, value] of Object.entries((record ?? {}) as Numbers)) {
    if (typeof value === 'number') set(name, value)
  }
}
