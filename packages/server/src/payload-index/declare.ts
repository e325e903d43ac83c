/**
 * Declaring payload indexes: in a collection's options, in its manifest entry, and later, while the collection is in use. A declaration
 * is durable when the manifest that holds it is committed; the index itself is made from the payloads, here and at every opening.
 */
import { setImmediate } from 'node:timers/promises'
import type { CollectionEntry } from '@drift/storage'
import { assertOpen, currentState, type Engine } from '../engine.js'
import { DriftError } from '../errors.js'
import { scalarsAt } from '../filter/path.js'
import type { CollectionConfig } from '../operation.js'
import type { FlushOptions } from '../options.js'
import { PayloadSlice } from '../payload-slice.js'
import { decodePayload } from '../rows.js'
import { assertPresent, type Store } from '../store.js'
import { bitsSet, rowsOfBits } from './bits.js'
import {
  assertRoomForIndex,
  type IndexDeclarations,
  type IndexKind,
  parseIndexes,
} from './payload-indexes.js'

/** The declarations in a manifest entry's options. Indexes are derived: what cannot be read is no reason not to open. */
export function indexesOf(options: CollectionEntry['options']): { indexes?: IndexDeclarations } {
  const stored = options['indexes']
  if (typeof stored !== 'string') return {}
  try {
    return { indexes: parseIndexes(JSON.parse(stored))! }
  } catch {
    return {}
  }
}

/** Every live row into the declared indexes: at opening, before the log is replayed. */
export function indexPayloads(store: Store): void {
  if (store.indexes.count === 0) return
  const { live, rows, release } = store.index.pin()
  try {
    const bits = live.subarray(0, (rows + 31) >>> 5)
    for (const row of rowsOfBits(bits)) store.indexes.put(row, store.payloads.read(row))
  } finally {
    release()
  }
}

/** @throws DriftError DRIFT_COLLECTION_MISMATCH when the collection lacks one of these indexes, or has it of another kind. */
export function assertDeclared(config: CollectionConfig, wanted: IndexDeclarations | undefined): void {
  for (const [path, kind] of Object.entries(wanted ?? {})) {
    const stored = declaredKind(config, path)
    if (stored === kind) continue
    throw new DriftError(
      'DRIFT_COLLECTION_MISMATCH',
      `collection '${config.name}' has ${stored ? `a ${stored}` : 'no'} index on '${path}', not a ${kind} index; see createIndex and dropIndex`,
      { name: config.name, option: 'indexes', path, stored, given: kind },
    )
  }
}

/** Make an index from what is there while the collection is in use; it answers, and is declared, when this resolves. */
export async function createIndex(
  engine: Engine,
  store: Store,
  path: string,
  kind: IndexKind,
  { signal, onProgress }: FlushOptions,
): Promise<void> {
  const { indexes } = store
  const known = indexes.kindAt(path)
  if (known !== undefined) {
    throw new DriftError('DRIFT_INDEX_EXISTS', `there is a ${known} index on '${path}' already`, {
      path,
      kind: known,
    })
  }
  assertRoomForIndex(indexes)
  const entry = indexes.begin(path, kind)
  // Rows published from here on enter by themselves; those that are there cannot be reused while the pin is open.
  const pin = store.index.pin()
  try {
    const words = pin.live.subarray(0, (pin.rows + 31) >>> 5)
    const total = bitsSet(words)
    const stage = `index ${path}`
    let done = 0
    let slice = new PayloadSlice()
    for (const row of rowsOfBits(words)) {
      const payload = store.payloads.read(row)
      entry.index.put(row, scalarsAt(payload && decodePayload(payload), entry.path))
      done++
      if (!slice.isOverAfter(payload)) continue
      onProgress?.({ stage, done, total })
      await setImmediate()
      signal?.throwIfAborted()
      assertOpen(engine)
      assertPresent(store)
      slice = new PayloadSlice()
    }
    await declare(engine, store, path, kind)
    entry.ready = true
    onProgress?.({ stage, done: total, total })
  } catch (error) {
    indexes.drop(path)
    throw error
  } finally {
    pin.release()
  }
}

/** @throws DriftError DRIFT_NO_INDEX. */
export async function dropIndex(engine: Engine, store: Store, path: string): Promise<void> {
  // Not declared: another call is about to drop it.
  const isThere = Object.hasOwn(store.indexes.declarations(), path) && declaredKind(store.config, path)
  if (!isThere) {
    throw new DriftError('DRIFT_NO_INDEX', `there is no index on '${path}'`, { path })
  }
  await declare(engine, store, path, undefined)
  store.indexes.drop(path)
}

/**
 * The config of the collection holds this from now on, on disk too when this resolves. Others may be on their way there: what is not of
 * this path is left as it is.
 *
 * @throws what the commit threw; DriftError DRIFT_DROPPED. The config is then as before.
 */
async function declare(
  engine: Engine,
  store: Store,
  path: string,
  kind: IndexKind | undefined,
): Promise<void> {
  const before = declaredKind(store.config, path)
  put(store, path, kind)
  try {
    await engine.persistence.commit(() => currentState(engine))
    // Dropped meanwhile, its entry is in no manifest.
    assertPresent(store)
  } catch (error) {
    put(store, path, before)
    throw error
  }
}

function put(store: Store, path: string, kind: IndexKind | undefined): void {
  const { [path]: _, ...others } = store.config.indexes ?? {}
  store.config = { ...store.config, indexes: kind === undefined ? others : { ...others, [path]: kind } }
}

/** Paths are data: `constructor` is one like any other. */
function declaredKind({ indexes = {} }: CollectionConfig, path: string): IndexKind | undefined {
  return Object.hasOwn(indexes, path) ? indexes[path] : undefined
}
