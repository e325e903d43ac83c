// A collection that is filled with rows of one endless sequence, for the benches that need many; and their tables.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Collection } from '@drift/server'
import { mix } from '../data/mix.js'

const BATCH_ROWS = 100
const IN_FLIGHT = 8
/** Rows that are drawn; the others are these, each moved a little towards another. */
const DRAWN = 20_000
const TOWARDS = 0.2
/** How often it is told what is durable. */
const TOLD = 40

/** @param onPart - now and then, with the rows that are durable. */
export async function write(
  collection: Collection,
  rows: number,
  dim: number,
  seed: number,
  onPart: (done: number) => Promise<void> = async () => {},
  firstRow = 0,
): Promise<void> {
  const { vectors } = mix({ rows: DRAWN, dim, clusters: 64, seed })
  let next = 0
  let done = 0
  let told = 0
  const writer = async () => {
    while (next < rows) {
      const first = next
      const count = Math.min(BATCH_ROWS, rows - first)
      next += count
      const ids = Array.from({ length: count }, (_, i) => firstRow + first + i)
      await collection.upsert({ ids, vectors: moved(vectors, dim, firstRow + first, count) })
      done += count
      if (done < told + rows / TOLD && done < rows) continue
      told = done
      await onPart(done)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, writer))
}

/** Rows first ... of an endless sequence without repetition. */
function moved(vectors: Float32Array, dim: number, first: number, count: number): Float32Array {
  const out = new Float32Array(count * dim)
  for (let i = 0; i < count; i++) {
    const row = first + i
    const from = (row % DRAWN) * dim
    const to = ((row * 7919 + Math.floor(row / DRAWN)) % DRAWN) * dim
    for (let j = 0; j < dim; j++) {
      out[i * dim + j] = (1 - TOWARDS) * vectors[from + j]! + TOWARDS * vectors[to + j]!
    }
  }
  return out
}

export function row(what: string, value: number, target = ''): void {
  console.log(`| ${what} | ${value >= 100 ? value.toFixed(0) : value.toPrecision(3)} | ${target} |`)
}

export async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'drift-bench-'))
  try {
    await work(join(folder, 'db'))
  } finally {
    rmSync(folder, { recursive: true })
  }
}
