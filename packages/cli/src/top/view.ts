/** A reading as text for a terminal, and as numbers for --json. Rates are of the time since the reading before. */
import type { CollectionStats } from '@drift/server'
import { table } from '../table.js'
import { gaugeOf, type Rate, rateOf, type Samples } from './metrics.js'
import type { Reading } from './reading.js'

const REQUESTS = 'drift_http_request_seconds'
const SEARCHES = ['search', 'searchBatch']
const WRITES = ['upsert', 'deletePoints', 'updatePayload']
const BARS = '▁▂▃▄▅▆▇█'
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

export interface Summary {
  readonly where: string
  readonly time: string
  readonly state: string
  readonly collections: readonly {
    readonly name: string
    readonly rows: number
    readonly unflushedRows: number
    readonly buckets: number
    readonly segments: number
    readonly diskBytes: number
    readonly memoryBytes: number
    readonly recall: CollectionStats['recall']
  }[]
  readonly wal: { readonly files: number; readonly bytes: number; readonly pendingBytes: number }
  /** Of a server only. */
  readonly requests?: { readonly search: Rate; readonly write: Rate; readonly all: Rate }
  readonly process?: {
    readonly residentBytes: number | undefined
    readonly eventLoopP99Ms: number | undefined
    readonly waiting: number
    readonly running: number
  }
}

/** @param before - the reading before, or undefined: then rates are of the server's whole life. */
export function summaryOf(now: Reading, before: Reading | undefined): Summary {
  const { stats, metrics } = now
  return {
    where: now.where,
    time: new Date(now.at).toISOString(),
    state: stats.state,
    collections: stats.collections.map(({ name, rows, unflushedRows, buckets, segments, ...rest }) => ({
      name,
      rows,
      unflushedRows,
      buckets,
      segments,
      diskBytes: rest.diskBytes,
      memoryBytes: Object.values(rest.memory).reduce((sum, bytes) => sum + bytes, 0),
      recall: rest.recall ?? [],
    })),
    wal: stats.wal,
    ...(metrics ? serverFigures(metrics, now, before) : {}),
  }
}

function serverFigures(
  metrics: Samples,
  now: Reading,
  before: Reading | undefined,
): Pick<Summary, 'requests' | 'process'> {
  const born = (gaugeOf(metrics, 'process_start_time_seconds') ?? 0) * 1000
  const seconds = Math.max(0.001, (now.at - (before?.at ?? born)) / 1000)
  const rate = (operations?: readonly string[]): Rate =>
    rateOf(
      [before?.metrics, metrics],
      REQUESTS,
      seconds,
      ({ operation = '' }) => !operations || operations.includes(operation),
    )
  const eventLoop = gaugeOf(metrics, 'nodejs_eventloop_lag_p99_seconds')
  const queue = (state: string): number =>
    (metrics.get('drift_http_queue') ?? [])
      .filter(({ labels }) => labels['state'] === state)
      .reduce((sum, { value }) => sum + value, 0)
  return {
    requests: { search: rate(SEARCHES), write: rate(WRITES), all: rate() },
    process: {
      residentBytes: gaugeOf(metrics, 'process_resident_memory_bytes'),
      eventLoopP99Ms: eventLoop === undefined ? undefined : eventLoop * 1000,
      waiting: queue('waiting'),
      running: queue('running'),
    },
  }
}

/** @param searches - searches a second of the readings before, oldest first. */
export function viewOf(summary: Summary, searches: readonly number[]): string {
  const { where, time, state, wal, requests, process } = summary
  const lines = [`drift top  ${where}  ${state}  ${time.slice(11, 19)} UTC`, '']
  if (requests && process) {
    lines.push(
      ...table(
        ['requests', 'a second', 'p50 ms', 'p99 ms'],
        (['search', 'write', 'all'] as const).map(kind => [
          kind,
          requests[kind].perSecond.toFixed(1),
          ms(requests[kind].p50Ms),
          ms(requests[kind].p99Ms),
        ]),
      ),
      '',
      ...(searches.length > 0 ? [`searches  ${sparkline(searches)}`] : []),
      `process   ${bytes(process.residentBytes)} resident, event loop p99 ${ms(process.eventLoopP99Ms)} ms, ${process.running} calls run, ${process.waiting} wait`,
    )
  }
  lines.push(
    `log       ${wal.files} files, ${bytes(wal.bytes)}, ${bytes(wal.pendingBytes)} on their way to the disk`,
    '',
    ...table(
      ['collection', 'rows', 'in the log', 'buckets', 'segments', 'disk', 'memory', 'recall (95 %)', 'asked'],
      summary.collections.flatMap(collection => {
        const [first, ...more] = collection.recall
        const { name, rows, unflushedRows, buckets, segments, diskBytes, memoryBytes } = collection
        return [
          [
            name,
            ...[rows, unflushedRows, buckets, segments].map(grouped),
            bytes(diskBytes),
            bytes(memoryBytes),
            ...recallCells(first),
          ],
          ...more.map(each => ['', '', '', '', '', '', '', ...recallCells(each)]),
        ]
      }),
    ),
  )
  if (summary.collections.length === 0) lines.push('(no collections)')
  return lines.join('\n')
}

function recallCells(recall: CollectionStats['recall'][number] | undefined): string[] {
  if (!recall) return ['not measured', '']
  const { measured, low95, high95, target, k } = recall
  const flag = high95 < target ? ' !' : ''
  return [`${measured.toFixed(3)} [${low95.toFixed(3)}, ${high95.toFixed(3)}]${flag}`, `${target} at k ${k}`]
}

function sparkline(values: readonly number[]): string {
  const top = Math.max(...values, 1e-9)
  return values
    .map(value => BARS[Math.min(BARS.length - 1, Math.floor((value / top) * BARS.length))])
    .join('')
}

function ms(value: number | undefined): string {
  return value === undefined ? '-' : value.toFixed(value < 10 ? 2 : 0)
}

function grouped(value: number): string {
  return value.toLocaleString('en-US').replaceAll(',', ' ')
}

export function bytes(value: number | undefined): string {
  if (value === undefined) return '-'
  const power = value < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10))
  const scaled = value / 1024 ** power
  return `${scaled.toFixed(power === 0 || scaled >= 100 ? 0 : 1)} ${UNITS[power]}`
}
