/**
 * The manifest's JSON. Written in a fixed order of fields; read field by field into the type, where anything missing, unknown or out of
 * range is refused: a field that this version does not know would be lost by its next commit.
 */

import type { CheckpointEntry } from '../checkpoint.js'
import { StorageError } from '../errors.js'
import type { Metric } from '../segment/format.js'
import { type FileEntry, isFileName } from '../segment/section-writer.js'
import type { SegmentEntry } from '../segment/writer.js'
import type { TombstoneEntry } from '../tombstones.js'
import { isUuid } from '../uuid.js'
import type { CollectionEntry, Manifest } from './manifest.js'

const METRICS: readonly Metric[] = ['l2', 'cosine', 'ip']

export function encodeBody(manifest: Manifest): Uint8Array {
  const { database, floorLsn, durableLsn, nextCollection, nextFile, logFile } = manifest
  const collections = manifest.collections.map(collection => ({
    number: collection.number,
    name: collection.name,
    dim: collection.dim,
    metric: collection.metric,
    options: collection.options,
    segments: collection.segments.map(rangeEntry),
    tombstones: collection.tombstones.map(rangeEntry),
    checkpoint: collection.checkpoint && fileEntry(collection.checkpoint),
  }))
  const body = { database, floorLsn, durableLsn, nextCollection, nextFile, logFile, collections }
  return new TextEncoder().encode(JSON.stringify(body))
}

function fileEntry({ name, uuid, bytes, footerCrc }: FileEntry): FileEntry {
  return { name, uuid, bytes, footerCrc }
}

function rangeEntry(entry: SegmentEntry): SegmentEntry {
  const { rows, lsnLow, lsnHigh } = entry
  return { ...fileEntry(entry), rows, lsnLow, lsnHigh }
}

/** @param path - for messages. @throws DRIFT_CORRUPT_DECODE, naming the field. */
export function decodeBody(bytes: Uint8Array, number: number, path: string): Manifest {
  const body = new Fields(parse(bytes, path), 'manifest', path)
  const manifest: Manifest = {
    number,
    database: body.take('database', isUuid),
    floorLsn: body.take('floorLsn', isCount),
    durableLsn: body.take('durableLsn', isCount),
    nextCollection: body.take('nextCollection', isCount),
    nextFile: body.take('nextFile', isCount),
    ...(body.has('logFile') ? { logFile: body.take('logFile', isCount) } : {}),
    collections: body.list('collections', decodeCollection),
  }
  body.end()
  for (const key of ['number', 'name'] as const) {
    const values = manifest.collections.map(collection => collection[key])
    if (new Set(values).size !== values.length) throw fault(`two collections have the same ${key}`, path)
  }
  return manifest
}

function decodeCollection(fields: Fields): CollectionEntry {
  const entry: CollectionEntry = {
    number: fields.take('number', isCount),
    name: fields.take('name', isText),
    dim: fields.take('dim', (value): value is number => isCount(value) && value >= 1),
    metric: fields.take('metric', (value): value is Metric => METRICS.includes(value as Metric)),
    options: fields.take('options', isOptions),
    segments: fields.list('segments', decodeRangeEntry),
    tombstones: fields.list('tombstones', decodeRangeEntry),
  }
  const checkpoint = fields.optional('checkpoint', decodeFileEntry)
  return checkpoint === undefined ? entry : { ...entry, checkpoint }
}

function decodeFileEntry(fields: Fields): CheckpointEntry {
  return {
    name: fields.take('name', isFileName),
    uuid: fields.take('uuid', isUuid),
    bytes: fields.take('bytes', isCount),
    footerCrc: fields.take('footerCrc', (value): value is number => isCount(value) && value < 2 ** 32),
  }
}

function decodeRangeEntry(fields: Fields): SegmentEntry & TombstoneEntry {
  const entry = {
    ...decodeFileEntry(fields),
    rows: fields.take('rows', isCount),
    lsnLow: fields.take('lsnLow', isCount),
    lsnHigh: fields.take('lsnHigh', isCount),
  }
  if (entry.lsnLow > entry.lsnHigh) throw fields.fault(`LSN ${entry.lsnLow} to ${entry.lsnHigh} is no range`)
  return entry
}

/** An object whose fields are taken out one by one; what is left at the end is unknown. */
class Fields {
  readonly #fields: Map<string, unknown>
  readonly #what: string
  readonly #path: string

  constructor(value: unknown, what: string, path: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw fault(`${what} is no object`, path)
    }
    this.#fields = new Map(Object.entries(value))
    this.#what = what
    this.#path = path
  }

  take<T>(name: string, accepts: (value: unknown) => value is T): T {
    const value = this.#fields.get(name)
    this.#fields.delete(name)
    if (accepts(value)) return value
    throw this.fault(`${name} cannot be ${JSON.stringify(value)?.slice(0, 100)}`)
  }

  list<T>(name: string, decode: (fields: Fields) => T): T[] {
    return this.take(name, Array.isArray).map((item, i) => this.#child(item, `${name}[${i}]`, decode))
  }

  has(name: string): boolean {
    return this.#fields.has(name)
  }

  optional<T>(name: string, decode: (fields: Fields) => T): T | undefined {
    if (!this.has(name)) return undefined
    const value = this.take(name, (value): value is unknown => true)
    return this.#child(value, name, decode)
  }

  end(): void {
    for (const name of this.#fields.keys()) throw this.fault(`has an unknown field ${JSON.stringify(name)}`)
  }

  fault(what: string): StorageError {
    return fault(`${this.#what}: ${what}`, this.#path)
  }

  #child<T>(value: unknown, what: string, decode: (fields: Fields) => T): T {
    const fields = new Fields(value, `${this.#what}.${what}`, this.#path)
    const decoded = decode(fields)
    fields.end()
    return decoded
  }
}

function parse(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw fault('the body is no JSON', path, error)
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

function isOptions(value: unknown): value is CollectionEntry['options'] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.values(value).every(option => ['number', 'string', 'boolean'].includes(typeof option))
}

function fault(what: string, path: string, cause?: unknown): StorageError {
  return new StorageError('DRIFT_CORRUPT_DECODE', `${path}: ${what}`, { path }, cause)
}
