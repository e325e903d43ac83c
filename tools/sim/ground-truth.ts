// Exact answers at every search step, kept on disk under a hash of everything that led to them: the metric and each step so far.
// Rule: the same name means the same answer, so a file is never stale; one that does not have its length is made anew.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KernelMetric } from '@drift/native'
import type { Truth } from '../data/truth.js'
import type { LiveSet } from './live-set.js'
import type { Step } from './runbook.js'

export class GroundTruth {
  readonly #live: LiveSet
  readonly #metric: KernelMetric
  readonly #k: number
  readonly #folder: string | undefined
  #history: Uint8Array = new Uint8Array(0)
  /** Answers that were computed, not read. */
  computed = 0

  /** @param folder - of the cache; undefined: nothing is kept. */
  constructor(live: LiveSet, metric: KernelMetric, k: number, folder: string | undefined) {
    this.#live = live
    this.#metric = metric
    this.#k = k
    this.#folder = folder
    if (folder !== undefined) mkdirSync(folder, { recursive: true })
  }

  /** Tell it of a step, after the live set has it. @returns the answers of a search step; `rows` are ids. */
  step(step: Step): Truth | undefined {
    if (this.#folder !== undefined) this.#history = digest(this.#history, step)
    if (step.do !== 'search') return undefined
    const { queries } = step
    const depth = Math.min(this.#k, this.#live.count)
    if (depth === 0) return { rows: new Uint32Array(0), distances: new Float32Array(0), k: 0 }
    const path =
      this.#folder &&
      join(
        this.#folder,
        `${Buffer.from(this.#history).toString('hex').slice(0, 24)}-${this.#metric}-${depth}`,
      )
    const values = (queries.length / this.#live.dim) * depth
    const known = path === undefined ? undefined : read(path, values)
    if (known !== undefined) return { ...known, k: depth }
    const exact = this.#live.exact(queries, this.#metric, depth)
    this.computed++
    if (path !== undefined) write(path, exact)
    return exact
  }
}

function digest(history: Uint8Array, step: Step): Uint8Array {
  const hash = createHash('sha256').update(history).update(step.do)
  if (step.do === 'search') return hash.update(bytes(step.queries)).digest()
  hash.update(bytes(step.ids))
  if (step.do !== 'delete') hash.update(bytes(step.vectors))
  return hash.digest()
}

function bytes(values: Uint32Array | Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

/** Ids, then distances. */
function read(path: string, values: number): Pick<Truth, 'rows' | 'distances'> | undefined {
  if (!existsSync(path)) return undefined
  const { buffer, byteOffset, byteLength } = readFileSync(path)
  if (byteLength !== 8 * values) return undefined
  const copy = buffer.slice(byteOffset, byteOffset + byteLength)
  return { rows: new Uint32Array(copy, 0, values), distances: new Float32Array(copy, 4 * values) }
}

function write(path: string, { rows, distances }: Truth): void {
  const part = `${path}.${process.pid}`
  writeFileSync(part, Buffer.concat([bytes(rows), bytes(distances)]))
  renameSync(part, path)
}
