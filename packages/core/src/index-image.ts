/**
 * The derived state of an index as flat columns, taken at one moment and put back: codes, buckets, ids, everything but the exact
 * vectors. Rule: a column that is put back is checked against the others before any of it counts; what does not fit is refused
 * whole, since the rows can always be indexed anew.
 *
 *   codes     padded u8 a row      factors  2 f32 a row         homes, seconds  u32 a row (NONE: none)
 *   idKinds   u8 a row             idWords  2 i32 a row         idText          i32 words (see IdColumn)
 *   centroids padded f32 a bucket, rotated                      center          padded f32
 *   heads     u32 a bucket         entries  u32 a bucket        next, blocks    u32 and blockBytes a block (see Extents)
 *   codebooks f32 (see IndexSlabs), or nothing: entries are signs
 */
import { codebookLength } from '@drift/native'
import { NONE } from './bucket/extent.js'
import { CoreError } from './errors.js'
import { IndexState } from './index-state.js'
import type { Slices } from './maintenance/slices.js'

export const IMAGE_COLUMNS = [
  'codes',
  'factors',
  'homes',
  'seconds',
  'idKinds',
  'idWords',
  'idText',
  'centroids',
  'center',
  'heads',
  'entries',
  'next',
  'blocks',
  'codebooks',
] as const
export type ImageColumn = (typeof IMAGE_COLUMNS)[number]

export interface ImageSizes {
  /** Row numbers are below. */
  readonly rows: number
  readonly buckets: number
  readonly blocks: number
  /** Words of four bytes. */
  readonly idTextWords: number
  /** Values of `codebooks`. */
  readonly codebookValues: number
}

/**
 * Bytes by column. Some are the index's own shared memory, valid while the pin is open that was taken in the same step: what is in them
 * beyond this moment belongs to rows that were not live then.
 */
export interface IndexImage {
  readonly sizes: ImageSizes
  readonly columns: Readonly<Record<ImageColumn, Uint8Array>>
}

/** Bytes copied at once, in some 0.1 ms, most of which the system takes to find new memory; and what one is worth in multiply-adds. */
const PIECE_BYTES = 2 ** 18
const COPY_WORK = 8

/**
 * What the index is now: what changes in place is copied, once, into shared memory, so that posting it to a thread copies nothing. Chains
 * are copied at once, the rest in slices: nothing may move rows or centroids meanwhile. A row that dies may have no buckets in it.
 */
export async function takeImage(
  { store, directory, router, codebooks }: IndexState,
  slices: Slices,
): Promise<IndexImage> {
  const rows = store.rows
  const { padded } = store.rotation
  const { kinds, words, text } = store.ids.columns(rows)
  const { heads, entries, next, blocks, count } = directory.columns()
  const image: IndexImage = {
    sizes: {
      rows,
      buckets: router.count,
      blocks: count,
      idTextWords: text.length,
      codebookValues: codebooks?.length ?? 0,
    },
    columns: {
      codes: store.codes.subarray(0, rows * padded),
      factors: bytesOf(store.factors.subarray(0, rows * 2)),
      homes: emptyOf(4 * rows),
      seconds: emptyOf(4 * rows),
      idKinds: kinds,
      idWords: bytesOf(words),
      idText: bytesOf(text),
      centroids: emptyOf(4 * padded * router.count),
      center: copyOf(router.center),
      heads: copyOf(heads),
      entries: copyOf(entries),
      next: copyOf(next),
      blocks,
      codebooks: codebooks ? bytesOf(codebooks) : emptyOf(0),
    },
  }
  const { homes, seconds, centroids } = image.columns
  // Both buckets of a row in one step: with one of them it would not fit itself.
  const pairs = [
    [homes, bytesOf(store.home)],
    [seconds, bytesOf(store.second)],
  ] as const
  await copyAll(pairs, 4 * rows, slices)
  await copyAll([[centroids, bytesOf(router.centroids)]], centroids.length, slices)
  return image
}

/** The first `bytes` of each source into its copy. */
async function copyAll(
  pairs: readonly (readonly [Uint8Array, Uint8Array])[],
  bytes: number,
  slices: Slices,
): Promise<void> {
  for (let at = 0; at < bytes; at += PIECE_BYTES) {
    const end = Math.min(bytes, at + PIECE_BYTES)
    for (const [into, from] of pairs) into.set(from.subarray(at, end), at)
    await slices.spend(pairs.length * (end - at) * COPY_WORK)
  }
}

/** An image with the pin that keeps it. */
export interface TakenImage<T> extends IndexImage {
  /** One bit a row, of the moment. */
  readonly live: Uint32Array
  /** What `moment` told. */
  readonly moment: T
  readonly release: () => void
}

/**
 * A new state of this shape that holds the image; the vectors are not filled in.
 *
 * @param live - one bit a row: the others are free. Rows of no home become unassigned.
 * @param read - fills a column.
 * @throws CoreError DRIFT_IMAGE when the columns do not fit each other, or what `read` throws.
 */
export function restoreImage(
  shape: IndexState['shape'],
  sizes: ImageSizes,
  live: Uint32Array,
  read: (column: ImageColumn, into: Uint8Array) => void,
): IndexState {
  const state = new IndexState(shape)
  const { store, directory, router } = state
  const { padded } = store.rotation
  const { rows, buckets, blocks, idTextWords, codebookValues } = sizes
  if (codebookValues > 0) {
    if (shape.quantizer !== 'pq' || codebookValues !== codebookLength(padded)) {
      throw misfit(`codebooks of ${codebookValues} values for an index in mode ${shape.quantizer}`)
    }
    state.codebooks = new Float32Array(new SharedArrayBuffer(4 * codebookValues))
    read('codebooks', bytesOf(state.codebooks))
    if (!state.codebooks.every(Number.isFinite)) throw misfit('codebooks hold values that are no numbers')
  }
  store.restore(rows, live)
  read('codes', store.codes.subarray(0, rows * padded))
  read('factors', bytesOf(store.factors.subarray(0, rows * 2)))
  read('homes', bytesOf(store.home.subarray(0, rows)))
  read('seconds', bytesOf(store.second.subarray(0, rows)))
  store.ids.restore(rows, idTextWords, store.live, (column, into) => read(column, into))
  clearDead(state, buckets)
  directory.restore(buckets, blocks, (column, into) => read(column, into))
  router.restore(buckets, (centroids, center) => {
    read('centroids', bytesOf(centroids))
    read('center', bytesOf(center))
  })
  const loose: number[] = []
  for (let row = 0; row < rows; row++) {
    if (store.isLive(row) && store.home[row] === NONE) loose.push(row)
  }
  state.unassigned.push(Uint32Array.from(loose))
  for (let bucket = 0; bucket < buckets; bucket++) state.health.reset(bucket)
  state.refinedRows = directory.rowsAtHome
  return state
}

/** A row that is not live has no buckets; a live one has buckets that there are. */
function clearDead({ store }: IndexState, buckets: number): void {
  const { home, second } = store
  for (let row = 0; row < store.rows; row++) {
    if (!store.isLive(row)) {
      home[row] = NONE
      second[row] = NONE
      continue
    }
    const first = home[row]!
    const other = second[row]!
    const sound =
      first === NONE
        ? other === NONE
        : first < buckets && (other === NONE || (other < buckets && other !== first))
    if (!sound) throw misfit(`row ${row} is at home in ${first} and ${other} of ${buckets} buckets`)
  }
}

function misfit(what: string): CoreError {
  return new CoreError('DRIFT_IMAGE', `the stored index does not fit: ${what}`)
}

function emptyOf(bytes: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(bytes))
}

function copyOf(values: Float32Array | Uint32Array): Uint8Array {
  const copy = emptyOf(values.byteLength)
  copy.set(bytesOf(values))
  return copy
}

function bytesOf(values: Float32Array | Uint32Array | Int32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
