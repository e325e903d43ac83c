// Compares what a reopened collection holds with what it may hold after a crash.
import type { Id, StoredRow } from '@drift/server'
import { applyOperation, type LaneState, laneOf, operation, type Workload } from './workload.js'

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

/** Every row, sorted into lanes by id; rows whose vector or payload is not the one that their operation wrote are strange. */
async function readLanes(
  collection: Rows,
  workload: Workload,
): Promise<{ lanes: Map<Id, number>[]; scanned: number; strange: number }> {
  const lanes = Array.from({ length: workload.lanes }, () => new Map<Id, number>())
  const written = new Map<number, Map<Id, Float32Array>>()
  let [scanned, strange] = [0, 0]
  for await (const { id, vector, payload } of collection.scan()) {
    scanned++
    const n = (payload as { n?: unknown } | undefined)?.n
    const owner = laneOf(workload, id)
    if (owner === undefined || typeof n !== 'number') {
      strange++
      continue
    }
    if (!written.has(n)) written.set(n, vectorsOf(workload, n))
    const expected = written.get(n)!.get(id)
    const lane = lanes[owner]!
    if (!expected || !sameBits(expected, vector) || lane.has(id)) strange++
    else lane.set(id, n)
  }
  return { lanes, scanned, strange }
}

function vectorsOf(workload: Workload, n: number): Map<Id, Float32Array> {
  const { ids, vectors } = operation(workload, n)
  return new Map(ids.map((id, i) => [id, vectors.subarray(i * workload.dim, (i + 1) * workload.dim)]))
}

/** Ids that only one of the two holds, or that they hold from different operations. */
function differences(expected: LaneState, actual: LaneState): number {
  let count = 0
  for (const [id, n] of expected) if (actual.get(id) !== n) count++
  for (const id of actual.keys()) if (!expected.has(id)) count++
  return count
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  )
}
