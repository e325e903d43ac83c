// A write workload that two processes can compute apart: the one that writes it and dies, and the one that checks.
// Rule: operation n is a pure function of the seed and n, so an acknowledgement is one number.
//
// Operations are dealt to lanes (n mod lanes). A lane owns the ids congruent to it, issues its operations one after
// another, and lanes run side by side, so that group commits carry several writers. What a crash may leave is then exact:
// of each lane every acknowledged operation and, whole or not at all, the one that was under way.
import { seededRandom } from '@drift/core'

export interface Workload {
  readonly seed: number
  readonly dim: number
  readonly lanes: number
  /** Rows of one upsert. A delete names half as many. */
  readonly batchRows: number
  /** Ids of one lane; small enough that rows are replaced and deleted again and again. */
  readonly laneIds: number
}

export interface Operation {
  readonly kind: 'upsert' | 'delete'
  /** Distinct. */
  readonly ids: readonly number[]
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
  const ids = new Set<number>()
  while (ids.size < Math.min(wanted, laneIds)) ids.add(Math.floor(random() * laneIds) * lanes + (n % lanes))
  const values = kind === 'delete' ? 0 : ids.size * dim
  return { kind, ids: [...ids], vectors: Float32Array.from({ length: values }, () => random() * 2 - 1) }
}

/** What a lane holds: id to the number of the operation that wrote its vector. */
export type LaneState = ReadonlyMap<number, number>

export function applyOperation(workload: Workload, state: LaneState, n: number): LaneState {
  const { kind, ids } = operation(workload, n)
  const next = new Map(state)
  for (const id of ids) {
    if (kind === 'upsert') next.set(id, n)
    else next.delete(id)
  }
  return next
}
