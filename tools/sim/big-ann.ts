// Runbooks of the streaming track of big-ann-benchmarks, read as they are: YAML with a data set's name, max_pts, and numbered steps over
// ranges of its rows. Also our own JSON: the same steps, ranges or explicit ids.
// Rule: a file says what it means before the first step runs; a range outside of the data is refused then.
import { readFileSync } from 'node:fs'
import type { KernelMetric } from '@drift/native'
import { parse } from 'yaml'
import { ToolError } from '../data/tool-error.js'
import type { Runbook, Step } from './runbook.js'

/** Rows a runbook may name, and its queries. */
export interface RowSource {
  readonly rows: number
  readonly dim: number
  readonly metric: KernelMetric
  readonly queries: Float32Array
  /** A copy. */
  read(first: number, count: number): Float32Array
}

/** `ids[i]` gets, keeps or loses the row `rows[i]`. */
type FileStep =
  | { readonly do: 'insert' | 'replace'; readonly ids: Uint32Array; readonly rows: Uint32Array }
  | { readonly do: 'delete'; readonly ids: Uint32Array }
  | { readonly do: 'search' }

/** @param path - .yaml or .yml: big-ann's form; .json: ours. @throws ToolError RUNBOOK_FILE. */
export function readRunbook(path: string, source: RowSource): Runbook {
  const text = readFileSync(path, 'utf8')
  let parsed: unknown
  try {
    parsed = path.endsWith('.json') ? JSON.parse(text) : parse(text)
  } catch (cause) {
    throw new ToolError('RUNBOOK_FILE', `${path}: ${(cause as Error).message}`, { path }, { cause })
  }
  const { name, steps } = path.endsWith('.json') ? ourSteps(parsed, path) : bigAnnSteps(parsed, path)
  check(steps, source, path)
  const inserted = steps.reduce((sum, step) => sum + (step.do === 'insert' ? step.ids.length : 0), 0)
  return {
    name,
    about: `from ${path}`,
    dim: source.dim,
    metric: source.metric,
    searches: steps.filter(step => step.do === 'search').length,
    liveRows: inserted,
    insertedRows: inserted,
    *steps() {
      for (const [at, step] of steps.entries()) yield withVectors(step, source, at)
    },
  }
}

function withVectors(step: FileStep, source: RowSource, at: number): Step {
  if (step.do === 'search') return { do: 'search', queries: source.queries, phase: `step ${at + 1}` }
  if (step.do === 'delete') return step
  const vectors = new Float32Array(step.rows.length * source.dim)
  // Runs of rows are read at once: big-ann's steps are one run.
  for (let from = 0; from < step.rows.length; ) {
    let end = from + 1
    while (end < step.rows.length && step.rows[end] === step.rows[end - 1]! + 1) end++
    vectors.set(source.read(step.rows[from]!, end - from), from * source.dim)
    from = end
  }
  return { do: step.do, ids: step.ids, vectors }
}

type Fields = Readonly<Record<string, unknown>>

/** `{ dataset: { max_pts, 1: { operation, start, end }, 2: { operation: search }, ... } }` */
function bigAnnSteps(parsed: unknown, path: string): { name: string; steps: FileStep[] } {
  const [name, book] = Object.entries((parsed ?? {}) as Fields)[0] ?? []
  if (name === undefined || typeof book !== 'object' || book === null) refuse(path, 'has no data set')
  const numbered = Object.entries(book as Fields)
    .filter(([key]) => /^\d+$/.test(key))
    .sort(([a], [b]) => Number(a) - Number(b))
  const steps = numbered.map(([key, value]): FileStep => {
    const fields = value as Fields
    const range = (first: string, end: string) => rangeOf(fields[first], fields[end], `${path}: step ${key}`)
    switch (fields['operation']) {
      case 'insert': {
        const ids = range('start', 'end')
        return { do: 'insert', ids, rows: ids }
      }
      case 'delete':
        return { do: 'delete', ids: range('start', 'end') }
      case 'replace':
        return { do: 'replace', ids: range('tags_start', 'tags_end'), rows: range('ids_start', 'ids_end') }
      case 'search':
        return { do: 'search' }
      default:
        return refuse(path, `step ${key}: the operation is ${String(fields['operation'])}`)
    }
  })
  return { name, steps }
}

/** `{ name, steps: [{ insert: [from, end] }, { replace: { ids, rows } }, { delete: { ids: [..] } }, 'search'] }` */
function ourSteps(parsed: unknown, path: string): { name: string; steps: FileStep[] } {
  const { name, steps } = (parsed ?? {}) as Fields
  if (typeof name !== 'string' || !Array.isArray(steps)) refuse(path, 'expected { name, steps }')
  return { name, steps: steps.map((step: unknown, i) => ourStep(step, `${path}: step ${i + 1}`)) }
}

function ourStep(step: unknown, where: string): FileStep {
  if (step === 'search') return { do: 'search' }
  const [kind, value] = Object.entries((step ?? {}) as Fields)[0] ?? []
  const list = (name: string) => {
    const values = Array.isArray(value) ? rangeOf(value[0], value[1], where) : (value as Fields)[name]
    if (values instanceof Uint32Array) return values
    if (Array.isArray(values) && values.every(isRow)) return Uint32Array.from(values)
    return refuse(where, `${name} is no range [from, end] and no list of row numbers`)
  }
  if (kind === 'delete') return { do: 'delete', ids: list('ids') }
  if (kind === 'insert' || kind === 'replace') {
    const ids = list('ids')
    const rows = Array.isArray(value) || (value as Fields)['rows'] === undefined ? ids : list('rows')
    return { do: kind, ids, rows }
  }
  return refuse(where, `${kind ?? String(step)} is no step`)
}

function rangeOf(first: unknown, end: unknown, where: string): Uint32Array {
  if (!isRow(first) || !isRow(end) || end < first) {
    refuse(where, `${String(first)}..${String(end)} is no range of rows`)
  }
  return Uint32Array.from({ length: end - first }, (_, i) => first + i)
}

function isRow(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff_ffff
}

function check(steps: readonly FileStep[], source: RowSource, path: string): void {
  for (const [at, step] of steps.entries()) {
    if (step.do === 'search' || step.do === 'delete') continue
    if (step.ids.length !== step.rows.length) {
      refuse(`${path}: step ${at + 1}`, `${step.ids.length} ids for ${step.rows.length} rows`)
    }
    for (const row of step.rows) {
      if (row >= source.rows) refuse(`${path}: step ${at + 1}`, `row ${row} of ${source.rows}`)
    }
  }
}

function refuse(where: string, what: string): never {
  throw new ToolError('RUNBOOK_FILE', `${where}: ${what}`)
}
