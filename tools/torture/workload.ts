// A write workload that two processes can compute apart: the one that writes it and dies, and the one that checks.
// Rule: operation n is a pure function of the seed and n, so an acknowledgement is one number.
//
// Operations are dealt to lanes (n mod lanes). A lane owns the keys congruent to it, of which one in three is a number, a text
// or a bigint as an id, issues its operations one after
// another, and lanes run side by side, so that group commits carry several writers. What a crash may leave is then exact:
// of each lane every acknowledged operation and, whole or not at all, the one that was under way.
import { type Id, seededRandom } from '@drift/core'

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

export interface Operation {
  readonly kind: 'upsert' | 'delete'
  /** Distinct. */
  readonly ids: readonly Id[]
  /** ids.length * dim for an upsert, empty for a delete. */
  readonly vectors: Float32Array
}

/** One operation in this many is a delete. */
const DELETE_EVERY = 4

export function operation(workload: Workload, n: number): Operation {
  const { seed, dim, lanes, batchRows, laneIds } = workload
  // Neighbouring seeds give unlike sequences, and n stays apart from the workload's own seed.
  const random = seededRandom(seed * 1_000_003 + n)
  const kind = random() < 1 / DELETE_EVERY ? 'delete' : 'upsert'
  const wanted = kind === 'delete' ? Math.ceil(batchRows / 2) : batchRows
  const ids = new Set<Id>()
  while (ids.size < Math.min(wanted, laneIds))
    ids.add(idOf(Math.floor(random() * laneIds) * lanes + (n % lanes)))
  const rows = kind === 'delete' ? 0 : ids.size
  const vectors = new Float32Array(rows * dim)
  for (let i = 0; i < rows; i++) fillVector(workload, n, vectors.subarray(i * dim, (i + 1) * dim), random)
  return { kind, ids: [...ids], vectors }
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

/** What a lane holds: id to the number of the operation that wrote its vector. */
export type LaneState = ReadonlyMap<Id, number>

export function applyOperation(workload: Workload, state: LaneState, n: number): LaneState {
  const { kind, ids } = operation(workload, n)
  const next = new Map(state)
  for (const id of ids) {
    if (kind === 'upsert') next.set(id, n)
    else next.delete(id)
  }
  return next
}
