// A write workload that two processes can compute apart: the one that writes it and dies, and the one that checks.
// Rule: operation n is a pure function of the seed and n, so an acknowledgement is one number.
//
// Operations are dealt to lanes (n mod lanes). A lane owns the keys congruent to it, of which one in three is a number, a text
// or a bigint as an id, issues its operations one after
// another, and lanes run side by side, so that group commits carry several writers. What a crash may leave is then exact:
// of each lane every acknowledged operation and, whole or not at all, the one that was under way.
import { type Id, seededRandom } from '@drift/core'
import type { Filter } from '@drift/server'

export interface Workload {
  readonly seed: number
  readonly dim: number
  readonly lanes: number
  /** Rows of one upsert. A delete names half as many. */
  readonly batchRows: number
  /** Ids of one lane; small enough that rows are replaced and deleted again and again. */
  readonly laneIds: number
  /**
   * Vectors lie around so many topics, of which each lasts for five hundred operations and is then followed by a new one, while its
   * rows are replaced by and by. Default: no topics, anywhere in the cube.
   */
  readonly topics?: number
}

/** The rows of a lane that bear a tag. */
export interface Tagged {
  readonly lane: number
  readonly tag: number
}

export interface WrittenPayload extends Tagged {
  /** The operation that wrote the row. */
  readonly n: number
  /** The operation that patched it last, since it was written. */
  readonly patched?: number
}

/** `vectors`: ids.length * dim. Ids are distinct. Of a delete and a patch they need not be there. */
export type Operation =
  | {
      readonly kind: 'upsert'
      readonly ids: readonly Id[]
      readonly vectors: Float32Array
      readonly payloads: readonly WrittenPayload[]
    }
  | { readonly kind: 'delete' | 'patch'; readonly ids: readonly Id[] }
  | { readonly kind: 'delete' | 'patch'; readonly where: Tagged }

/** Tags of a lane: a delete or a patch by filter takes one in so many of its rows. */
export const TAGS = 40

export function operation(workload: Workload, n: number): Operation {
  const { seed, dim, lanes, batchRows, laneIds } = workload
  const lane = n % lanes
  // Neighbouring seeds give unlike sequences, and n stays apart from the workload's own seed.
  const random = seededRandom(seed * 1_000_003 + n)
  const below = (bound: number) => Math.floor(random() * bound)
  const drawIds = (wanted: number) => {
    const ids = new Set<Id>()
    while (ids.size < Math.min(wanted, laneIds)) ids.add(idOf(below(laneIds) * lanes + lane))
    return [...ids]
  }

  const drawn = random()
  if (drawn >= 0.4) {
    const ids = drawIds(batchRows)
    const vectors = new Float32Array(ids.length * dim)
    for (let i = 0; i < ids.length; i++)
      fillVector(workload, n, vectors.subarray(i * dim, (i + 1) * dim), random)
    return { kind: 'upsert', ids, vectors, payloads: ids.map(() => ({ n, lane, tag: below(TAGS) })) }
  }
  const kind = drawn < 0.25 ? 'delete' : 'patch'
  if (random() < 0.5) return { kind, where: { lane, tag: below(TAGS) } }
  return { kind, ids: drawIds(Math.ceil(batchRows / 2)) }
}

export function filterOf({ lane, tag }: Tagged): Filter {
  return { lane, tag }
}

/** A vector as operation `n` would write it, which it does not. */
export function queryOf(workload: Workload, n: number, random: () => number): Float32Array {
  const query = new Float32Array(workload.dim)
  fillVector(workload, n, query, random)
  return query
}

const TOPIC_OPERATIONS = 500
const TOPIC_WIDTH = 0.3

function fillVector({ seed, topics }: Workload, n: number, into: Float32Array, random: () => number): void {
  for (let i = 0; i < into.length; i++) into[i] = random() * 2 - 1
  if (topics === undefined) return
  const slot = Math.floor(random() * topics)
  // Topics end one after the other, not all at once.
  const topic = slot + topics * Math.floor((n + slot * (TOPIC_OPERATIONS / topics)) / TOPIC_OPERATIONS)
  const centre = seededRandom(seed * 7_919 + topic)
  for (let i = 0; i < into.length; i++) into[i] = centre() * 2 - 1 + TOPIC_WIDTH * into[i]!
}

const TEXT_ID = /^row (\d+) /

/** Texts of several lengths: they move in memory when others are gone. */
function idOf(key: number): Id {
  if (key % 3 === 0) return key
  return key % 3 === 1 ? BigInt(key) : `row ${key} `.padEnd(8 + (key % 50), '.')
}

/** Of an id that an operation may have written; undefined: of none. */
export function laneOf({ lanes }: Workload, id: Id): number | undefined {
  const key = Number(typeof id === 'string' ? TEXT_ID.exec(id)?.[1] : id)
  return Number.isSafeInteger(key) && key >= 0 ? key % lanes : undefined
}

/** What a lane holds: the payload tells which operation wrote the vector. */
export type LaneState = ReadonlyMap<Id, WrittenPayload>

export function applyOperation(workload: Workload, state: LaneState, n: number): LaneState {
  const done = operation(workload, n)
  const next = new Map(state)
  if (done.kind === 'upsert') {
    for (const [i, id] of done.ids.entries()) next.set(id, done.payloads[i]!)
    return next
  }
  const ids = 'ids' in done ? done.ids : taggedIds(state, done.where.tag)
  for (const id of ids) {
    const payload = next.get(id)
    if (done.kind === 'delete') next.delete(id)
    else if (payload) next.set(id, { ...payload, patched: n })
  }
  return next
}

function taggedIds(state: LaneState, wanted: number): Id[] {
  return [...state].filter(([, { tag }]) => tag === wanted).map(([id]) => id)
}
