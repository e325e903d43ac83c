/**
 * The payload indexes of a collection, by path. They are derived from the payloads: declared in the collection's config, kept up with
 * every published row, made anew when the database is opened. Rule: an index answers only after it has seen every live row.
 */
import { DriftError } from '../errors.js'
import { parsePath } from '../filter/filter.js'
import { type Path, type Scalar, scalarsAt } from '../filter/path.js'
import { show } from '../given.js'
import { decodePayload, type Payload } from '../rows.js'
import { KeywordIndex } from './keyword-index.js'
import { NumberIndex } from './number-index.js'

/** `keyword` answers equality of any scalar, `number` ranges and equality of numbers and ranges of ISO dates. */
export type IndexKind = 'keyword' | 'number'
export type IndexDeclarations = { readonly [path: string]: IndexKind }
export type PayloadIndex = KeywordIndex | NumberIndex

export interface Entry {
  readonly path: Path
  readonly index: PayloadIndex
  ready: boolean
}

/** The scalars of one payload, by index. */
export type Taken = ReadonlyMap<Entry, readonly Scalar[] | undefined>

const KINDS: readonly unknown[] = ['keyword', 'number']
/** Each one costs every write; more are a mistake. */
const MAX_INDEXES = 64

export class PayloadIndexes {
  readonly #entries = new Map<string, Entry>()

  constructor(declared: IndexDeclarations = {}) {
    for (const [path, kind] of Object.entries(declared)) this.begin(path, kind).ready = true
  }

  get count(): number {
    return this.#entries.size
  }

  /** The index on the path, when it can answer. */
  at(path: Path): PayloadIndex | undefined {
    const entry = this.#entries.get(path.join('.'))
    return entry?.ready ? entry.index : undefined
  }

  /** The kind of the index on the path, also while it is made. */
  kindAt(path: string): IndexKind | undefined {
    return this.#entries.get(path)?.index.kind
  }

  /** An index that takes in rows and answers nothing until `ready`. */
  begin(path: string, kind: IndexKind): Entry {
    const index = kind === 'keyword' ? new KeywordIndex() : new NumberIndex()
    const entry = { path: parsePath(path, 'index'), index, ready: false }
    this.#entries.set(path, entry)
    return entry
  }

  drop(path: string): void {
    this.#entries.delete(path)
  }

  /** What the indexes that there are now take in of each payload, for `put`. Yields bytes read. */
  *read(payloads: readonly (Uint8Array | undefined)[]): Generator<number, Taken[]> {
    const entries = [...this.#entries.values()]
    const taken: Taken[] = []
    for (const payload of payloads) {
      const decoded = payload && decodePayload(payload)
      taken.push(new Map(entries.map(entry => [entry, scalarsAt(decoded, entry.path)])))
      yield payload?.length ?? 0
    }
    return taken
  }

  /** The row has a new holder with this payload. @param taken - of it, by `read`: it is decoded only for indexes made since. */
  put(row: number, payload: Uint8Array | undefined, taken?: Taken): void {
    let decoded: Payload | undefined
    for (const entry of this.#entries.values()) {
      if (taken?.has(entry)) entry.index.put(row, taken.get(entry))
      else {
        decoded ??= payload && decodePayload(payload)
        entry.index.put(row, scalarsAt(decoded, entry.path))
      }
    }
  }

  /** Paths and kinds of those that answer. */
  declarations(): IndexDeclarations {
    const ready = [...this.#entries].filter(([, entry]) => entry.ready)
    return Object.fromEntries(ready.map(([path, { index }]) => [path, index.kind]))
  }

  get bytes(): number {
    let bytes = 0
    for (const { index } of this.#entries.values()) bytes += index.bytes
    return bytes
  }
}

/** @throws DriftError DRIFT_INDEX. */
export function parseIndexes(indexes: unknown): IndexDeclarations | undefined {
  if (indexes === undefined) return undefined
  if (typeof indexes !== 'object' || indexes === null || Array.isArray(indexes)) {
    throw new DriftError(
      'DRIFT_INDEX',
      `indexes is ${show(indexes)}, expected an object such as { lang: 'keyword' }`,
    )
  }
  const entries = Object.entries(indexes)
  if (entries.length > MAX_INDEXES) {
    throw new DriftError('DRIFT_INDEX', `${entries.length} indexes are declared, the limit is ${MAX_INDEXES}`)
  }
  return Object.fromEntries(entries.map(([path, kind]) => [path, parseIndex(path, kind)]))
}

/** @throws DriftError DRIFT_INDEX, and of the path as in a filter. */
export function parseIndex(path: unknown, kind: unknown): IndexKind {
  parsePath(path, 'index')
  if (KINDS.includes(kind)) return kind as IndexKind
  throw new DriftError(
    'DRIFT_INDEX',
    `the index on ${show(path)} is ${show(kind)}, expected 'keyword' or 'number'`,
    {
      path,
    },
  )
}

/** Whether another index fits. @throws DriftError DRIFT_INDEX. */
export function assertRoomForIndex(indexes: PayloadIndexes): void {
  if (indexes.count < MAX_INDEXES) return
  throw new DriftError(
    'DRIFT_INDEX',
    `the collection has ${indexes.count} indexes, the limit is ${MAX_INDEXES}`,
  )
}
