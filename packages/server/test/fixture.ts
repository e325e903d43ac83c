import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SimFs } from '@drift/fs'
import { afterEach } from 'vitest'

const folders: string[] = []

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** An empty folder that is removed after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'drift-test-'))
  folders.push(folder)
  return folder
}

/** Files below a folder that this process has open, removed ones too. Linux. */
export function filesOpenIn(folder: string): string[] {
  const open = readdirSync('/proc/self/fd').map(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return '' // the one that lists them
    }
  })
  return open.filter(path => path.startsWith(folder))
}

/** Uniform numbers in [0, 1), the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** `rows` vectors around `rows / 40` centres, row-major: something that has neighbours. */
export function clusteredVectors(rows: number, dim: number, seed: number): Float32Array {
  const random = randomNumbers(seed)
  const centres = Math.max(1, Math.floor(rows / 40))
  const centre = Float32Array.from({ length: centres * dim }, () => random() * 2 - 1)
  const vectors = new Float32Array(rows * dim)
  for (let row = 0; row < rows; row++) {
    const at = Math.floor(random() * centres) * dim
    for (let i = 0; i < dim; i++) vectors[row * dim + i] = centre[at + i]! + (random() - 0.5) * 0.4
  }
  return vectors
}

/** The k nearest rows by squared Euclidean distance, computed one by one in double precision. */
export function nearestByHand(
  query: ArrayLike<number>,
  vectors: Float32Array,
  dim: number,
  k: number,
): number[] {
  const rows = vectors.length / dim
  const distance = (row: number): number => {
    let sum = 0
    for (let i = 0; i < dim; i++) sum += (query[i]! - vectors[row * dim + i]!) ** 2
    return sum
  }
  return Array.from({ length: rows }, (_, row) => ({ row, d: distance(row) }))
    .sort((a, b) => a.d - b.d || a.row - b.row)
    .slice(0, k)
    .map(({ row }) => row)
}

/** A copy of a disk whose power fails before its operation `at`, and what is left then: nothing when it does not get as far. */
export function cutBefore(
  whole: SimFs,
  at: number,
): { readonly disk: SimFs; readonly left: () => SimFs | undefined } {
  let image: SimFs | undefined
  const disk: SimFs = whole.powerCut(
    { data: 'all', entries: 'all' },
    {
      before(_operation, _path, count) {
        if (count === at) image = disk.powerCut(at % 3 ? { data: 'none', entries: 'none' } : { seed: at })
      },
    },
  )
  return { disk, left: () => image }
}
