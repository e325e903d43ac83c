// Compares what a reopened collection holds with what it may hold after a crash.
import { isDeepStrictEqual } from 'node:util'
import type { Id, StoredRow } from '@drift/server'
import {
  applyOperation,
  type LaneState,
  laneOf,
  operation,
  type Workload,
  type WrittenPayload,
} from './workload.js'

/** What a collection and a made-up one have alike. */
export interface Rows {
  scan(): AsyncIterable<StoredRow>
}

export interface LaneProgress {
  readonly state: LaneState
  /** The operation that comes after this state. */
  readonly next: number
}

export interface CrashVerdict {
  /** What the collection really holds, to go on from. */
  readonly lanes: readonly LaneProgress[]
  readonly rows: number
  /** Acknowledged rows that are missing or hold another value, and acknowledged deletes that came back. */
  readonly lost: number
  /** Rows, values or payloads that nobody wrote. */
  readonly strange: number
}

/** Lanes before anything was written. */
export function emptyLanes(workload: Workload): LaneProgress[] {
  return Array.from({ length: workload.lanes }, (_, lane) => ({ state: new Map(), next: lane }))
}

/**
 * @param acknowledged - each lane after its acknowledged operations; one more may be there, whole or not at all.
 */
export async function checkCrash(
  collection: Rows & { count(): Promise<number> },
  workload: Workload,
  acknowledged: readonly LaneProgress[],
): Promise<CrashVerdict> {
  const found = await readLanes(collection, workload)
  let [lost, rows] = [0, 0]
  const lanes = acknowledged.map((progress, lane) => {
    const actual = found.lanes[lane]!
    rows += actual.size
    const oneMore = {
      state: applyOperation(workload, progress.state, progress.next),
      next: progress.next + workload.lanes,
    }
    const differs = differences(progress.state, actual)
    if (differs === 0) return progress
    const differsFromMore = differences(oneMore.state, actual)
    lost += Math.min(differs, differsFromMore)
    return differsFromMore < differs ? oneMore : progress
  })
  const miscounted = Math.abs((await collection.count()) - found.scanned)
  return { lanes, rows, lost, strange: found.strange + miscounted }
}

/** Every row, sorted into lanes by id; rows whose vector or payload is not what their operations wrote are strange. */
async function readLanes(
  collection: Rows,
  workload: Workload,
): Promise<{ lanes: Map<Id, WrittenPayload>[]; scanned: number; strange: number }> {
  const lanes = Array.from({ length: workload.lanes }, () => new Map<Id, WrittenPayload>())
  const written = new Map<number, Map<Id, WrittenRow>>()
  let [scanned, strange] = [0, 0]
  for await (const { id, vector, payload } of collection.scan()) {
    scanned++
    const owner = laneOf(workload, id)
    const { n, patched } = (payload ?? {}) as Partial<WrittenPayload>
    if (owner === undefined || typeof n !== 'number') {
      strange++
      continue
    }
    if (!written.has(n)) written.set(n, rowsOf(workload, n))
    const expected = written.get(n)!.get(id)
    const lane = lanes[owner]!
    const right = expected && { ...expected.payload, ...(patched === undefined ? {} : { patched }) }
    if (!right || !sameBits(expected.vector, vector) || !isDeepStrictEqual(payload, right) || lane.has(id))
      strange++
    else lane.set(id, right)
  }
  return { lanes, scanned, strange }
}

interface WrittenRow {
  readonly vector: Float32Array
  readonly payload: WrittenPayload
}

function rowsOf(workload: Workload, n: number): Map<Id, WrittenRow> {
  const { dim } = workload
  const done = operation(workload, n)
  if (done.kind !== 'upsert') return new Map()
  const { ids, vectors, payloads } = done
  return new Map(
    ids.map((id, i) => [id, { vector: vectors.subarray(i * dim, (i + 1) * dim), payload: payloads[i]! }]),
  )
}

/** Ids that only one of the two holds, or that they hold from different operations. */
function differences(expected: LaneState, actual: LaneState): number {
  let count = 0
  for (const [id, { n, patched }] of expected) {
    const found = actual.get(id)
    if (found?.n !== n || found.patched !== patched) count++
  }
  for (const id of actual.keys()) if (!expected.has(id)) count++
  return count
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  )
}
