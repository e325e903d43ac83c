/** What is shown of a database at one moment: of a server its statistics and metrics, of a folder what it holds. */
import type { DriftStats } from '@drift/server'
import { connectTo, isUrl } from '../target.js'
import { parseMetrics, type Samples } from './metrics.js'

export interface Reading {
  readonly where: string
  /** Of the clock, milliseconds. */
  readonly at: number
  readonly stats: Pick<DriftStats, 'state' | 'collections' | 'wal'> & Partial<DriftStats>
  /** Of a server, when the key may read them. */
  readonly metrics: Samples | undefined
}

export interface Reader {
  read(): Promise<Reading>
  close(): Promise<void>
}

/** @throws ClientError, DriftError when there is nothing to be read. */
export async function openReader(where: string, now: () => number): Promise<Reader> {
  return isUrl(where) ? serverReader(where, now) : folderReader(where, now)
}

async function serverReader(url: string, now: () => number): Promise<Reader> {
  const db = await connectTo(url)
  return {
    async read() {
      const [stats, metrics] = await Promise.all([db.stats(), metricsOf(db.path)])
      return { where: url, at: now(), stats: stats as unknown as Reading['stats'], metrics }
    },
    close: () => db.close(),
  }
}

/** A key that may not read all collections is refused, and then there are none. */
async function metricsOf(url: string): Promise<Samples | undefined> {
  const key = process.env['DRIFT_KEY']
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const answer = await fetch(`${url}/metrics`, { headers })
  return answer.ok ? parseMetrics(await answer.text()) : undefined
}

/** Opened anew for each reading: a read-only database stays as it was when it was opened. */
async function folderReader(folder: string, now: () => number): Promise<Reader> {
  const { Drift } = await import('@drift/server')
  return {
    async read() {
      const db = await Drift.open(folder, { readOnly: true })
      try {
        return { where: folder, at: now(), stats: await db.stats(), metrics: undefined }
      } finally {
        await db.close()
      }
    },
    close: async () => undefined,
  }
}
