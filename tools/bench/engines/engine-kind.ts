// What a bench knows of an engine: how it is filled, asked and changed. One file for each engine.
// Rule: a row is named by its number; one thread asks one query at a time; an engine that cannot do something leaves it out.
import type { KernelMetric } from '@drift/native'

/** A value of each knob, such as { ef: 64 }; empty for an engine without one. */
export type Setting = Readonly<Record<string, number>>

interface Filling {
  /** Of unit length when the metric is `ip`: then its order is that of cosine. */
  readonly rows: Float32Array
  readonly dim: number
  readonly metric: KernelMetric
  readonly seed: number
  readonly threads: number
  /** Rows that `insert` will add later, under the numbers that follow. */
  readonly room: number
  /** An empty folder of its own. */
  readonly folder: string
}

type Maybe<T> = T | Promise<T>

/** An engine that holds rows. */
export interface FilledEngine {
  configure(setting: Setting): void
  /** @returns row numbers, nearest first. */
  search(query: Float32Array, k: number): Maybe<ArrayLike<number | bigint>>
  /** All queries in one call, in one thread. */
  searchAll?(queries: Float32Array, k: number): Maybe<unknown>
  /** Rows whose codes or vectors the last search looked at. */
  readonly scannedRows?: number
  insert?(numbers: readonly number[], rows: Float32Array): Maybe<void>
  remove?(numbers: readonly number[]): Maybe<void>
  /** Does what the writes so far left for later. */
  settle?(): Promise<void>
  readonly diskBytes?: number
  close(): Maybe<void>
}

export interface EngineKind {
  readonly name: string
  /** How it is built and asked, for the report. */
  readonly configuration: string
  /** What it cannot do, in a sentence; empty when there is nothing to say. */
  readonly limits: string
  /** The sweep, from its low to its high recall. */
  settings(k: number): Setting[]
}

/** An engine of this process. */
export interface NodeEngine extends EngineKind {
  /** The package in bench/peers that it comes from. */
  readonly peer?: string
  /** Gets its library. @returns whether it is there and runs on this machine. */
  load(): boolean
  fill(filling: Filling): Promise<FilledEngine>
}

/** One setting for each value of one knob. */
export function sweepOf(knob: string, values: readonly number[]): Setting[] {
  return values.map(value => ({ [knob]: value }))
}
