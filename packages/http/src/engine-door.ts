/**
 * What this package calls of an engine. Methods that not every engine has are optional and looked for on the object:
 * a request for one that is missing is answered with DRIFT_NOT_IMPLEMENTED.
 */
import type { Drift, MaintenanceEvent } from '@drift/server'
import { HttpError } from './errors.js'

type Options = Readonly<Record<string, unknown>>
/** A string, a number or a bigint. */
export type Id = string | number | bigint

export interface CollectionDoor {
  readonly name: string
  readonly dim: number
  readonly metric: string
  upsert(batch: unknown, options?: Options): Promise<object>
  delete(what: unknown, options?: Options): Promise<object>
  get(id: Id): Promise<StoredRow | undefined>
  getMany(ids: readonly Id[], options?: Options): Promise<(StoredRow | undefined)[]>
  search(query: Float32Array, options?: Options): Promise<readonly Hit[]>
  searchBatch(queries: Float32Array, options?: Options): Promise<BatchHits>
  scan(options?: Options): AsyncIterable<StoredRow> & { readonly cursor?: string | undefined }
  count(options?: Options): Promise<number>
  flush(options?: Options): Promise<unknown>
  maintain(options?: Options): Promise<unknown>
  stats(options?: Options): Promise<object>
  explain?(query: Float32Array, options?: Options): Promise<unknown>
  compact?(options?: Options): Promise<unknown>
  updatePayload?(what: unknown, patch: unknown, options?: Options): Promise<object>
  createIndex?(path: string, type: string, options?: Options): Promise<unknown>
  dropIndex?(path: string): Promise<unknown>
  fromArrow?(bytes: Uint8Array, options?: Options): Promise<{ readonly rows: number; readonly lsn: number }>
  toArrow?(options?: Options): AsyncIterable<unknown>
}

export interface DriftDoor {
  collection(name: string, options?: Options): Promise<CollectionDoor>
  collections(): string[]
  drop(name: string): Promise<boolean>
  sync(): Promise<void>
  stats(): Promise<DriftStatsDoor>
  backup?(folder: string, options?: Options): Promise<unknown>
  check?(options?: Options): Promise<unknown>
  on?(event: 'maintenance', listener: (event: MaintenanceEvent) => void): unknown
  off?(event: 'maintenance', listener: (event: MaintenanceEvent) => void): unknown
}

interface DriftStatsDoor {
  readonly state: string
  readonly collections: readonly (Readonly<Record<string, unknown>> & { readonly name: string })[]
  readonly wal: Readonly<Record<string, unknown>>
  readonly [more: string]: unknown
}

export interface StoredRow {
  readonly id: Id
  readonly vector?: Float32Array
  readonly payload?: unknown
}

export interface Hit {
  readonly id: Id
  readonly distance: number
  readonly score: number
  readonly payload?: unknown
}

interface BatchHits {
  readonly k: number
  readonly ids: readonly (readonly Id[])[]
  readonly distances: Float32Array
  readonly counts: Uint32Array
}

export function doorOf(db: Drift): DriftDoor {
  return db as unknown as DriftDoor
}

/** The method, bound; the engine may be older than this package. @throws HttpError DRIFT_NOT_IMPLEMENTED */
export function feature<T extends object, K extends keyof T & string>(on: T, method: K): NonNullable<T[K]> {
  const found = on[method]
  if (typeof found !== 'function') throw notImplemented(method)
  return found.bind(on) as NonNullable<T[K]>
}

/** Filters came with `updatePayload`: an older engine would take `count({ filter })` for `count()`. */
export function requireFilters(collection: CollectionDoor): void {
  if (typeof collection.updatePayload !== 'function') throw notImplemented('filter')
}

export function notImplemented(what: string): HttpError {
  return new HttpError('DRIFT_NOT_IMPLEMENTED', `the engine of this server has no ${what}`, { what })
}
