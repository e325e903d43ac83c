// Durable writing and opening: upserts per second by batch size, time to open, bytes on disk.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Drift } from '@drift/server'
import { fill } from './drift-engine.js'
import { folderBytes } from './folder-size.js'

export interface UpsertRate {
  readonly batchRows: number
  readonly rows: number
  readonly rowsPerSecond: number
}

export interface Opening {
  readonly rows: number
  readonly openMs: number
  /** Without the log, which is preallocated and does not grow with the rows. */
  readonly diskBytesPerRow: number
  readonly logBytes: number
}

/** Batches of one size, each awaited until it is on disk before the next is sent. `rows`: what to write in all. */
export async function upsertRate(vectors: Float32Array, dim: number, batchRows: number): Promise<UpsertRate> {
  return inFolder(async folder => {
    const db = await Drift.open(folder, { sync: 'always' })
    const collection = await db.collection('rows', { dim, metric: 'cosine' })
    const start = performance.now()
    await fill(collection, vectors, dim, batchRows)
    const seconds = (performance.now() - start) / 1000
    await db.close()
    const rows = vectors.length / dim
    return { batchRows, rows, rowsPerSecond: rows / seconds }
  })
}

/** Writes everything, flushes, closes, and opens again. */
export async function opening(vectors: Float32Array, dim: number): Promise<Opening> {
  return inFolder(async folder => {
    const first = await Drift.open(folder)
    const filled = await first.collection('rows', { dim, metric: 'cosine' })
    await fill(filled, vectors, dim, 1_000)
    await filled.flush()
    await first.close()
    const { data, log } = folderBytes(folder)
    const start = performance.now()
    const db = await Drift.open(folder)
    const collection = await db.collection('rows', { dim, metric: 'cosine' })
    const openMs = performance.now() - start
    const rows = await collection.count()
    await db.close()
    return { rows, openMs, diskBytesPerRow: data / rows, logBytes: log }
  })
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'drift-bench-'))
  try {
    return await work(join(folder, 'db'))
  } finally {
    rmSync(folder, { recursive: true })
  }
}
