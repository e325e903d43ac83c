// What the bench has measured, one JSON for all data sets: a run replaces the data sets that it measured and leaves the rest.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { workspaceFolder } from '../data/place.js'
import type { Setting } from './engines/engine-kind.js'
import type { Machine } from './machine.js'
import type { Churned, Filled } from './protocol.js'

/** One setting of one engine. */
export interface Measurement {
  readonly setting: Setting
  readonly recall: number
  /** Queries a second of each pass, one call a query. */
  readonly calls: readonly number[]
  /** Queries a second of each pass, all queries in one call; empty for an engine without such a call. */
  readonly oneCall: readonly number[]
  readonly p50Us: number
  readonly p99Us: number
  /** Mean per query, where the engine tells. */
  readonly scannedRows?: number
}

export interface EngineResult {
  readonly name: string
  readonly version: string
  readonly configuration: string
  readonly limits: string
  readonly filled: Filled
  readonly churned: Churned
  /** By k. */
  readonly sweeps: Readonly<Record<string, readonly Measurement[]>>
}

export interface SetResult {
  readonly name: string
  readonly rows: number
  readonly dim: number
  readonly queries: number
  readonly metric: string
  readonly machine: Machine
  /** With `+` when files were changed since. */
  readonly commit: string
  readonly date: string
  readonly seed: number
  readonly passes: number
  readonly buildThreads: number
  /** undefined: engines ran where the system put them. */
  readonly core?: string
  readonly engines: readonly EngineResult[]
  /** Engines that were asked for and did not take part: why. */
  readonly absent: Readonly<Record<string, string>>
}

/** Data sets of `growth` begin with this; the report has a section of its own for them. */
export const GROWTH = 'growth:'

const FILE = 'results.json'

export function loadResults(folder: string): SetResult[] {
  const path = join(folder, FILE)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as SetResult[]) : []
}

/** @returns everything that is kept now, as it can be read again. */
export function keepResult(folder: string, result: SetResult): SetResult[] {
  const known = loadResults(folder)
  const at = known.findIndex(other => other.name === result.name)
  if (at < 0) known.push(result)
  else known[at] = result
  writeFileSync(join(folder, FILE), `${JSON.stringify(known, shortened)}\n`)
  return loadResults(folder)
}

/** Four digits of a rate are more than its spread allows. */
function shortened(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value
}

export function commit(): string {
  const git = (...args: string[]) =>
    spawnSync('git', args, { cwd: workspaceFolder, encoding: 'utf8' }).stdout ?? ''
  const changed = git('status', '--porcelain', '--untracked-files=no').trim() !== ''
  return `${git('rev-parse', '--short=12', 'HEAD').trim() || 'unknown'}${changed ? '+' : ''}`
}
