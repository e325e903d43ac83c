/**
 * The pass that heals the seams of a partition by levels: a row goes to the nearest centroid in any of the groups of centroids
 * near to the row itself. (Those near to its own centroid are no substitute: in many dimensions the rows that lie in the
 * wrong cluster lie far from its middle.) Rule: no row ends farther from its centroid than it was.
 * Costs about as many distances a row as there are groups and centroids in a few of them: O(sqrt(clusters)).
 */
import { kernels } from '@drift/native'
import { membersOf } from './clusters.js'
import type { Partition } from './kmeans.js'

/**
 * Move rows to nearer centroids: changes `partition.assignment`, which is per position of `index`.
 *
 * @param groups - a partition of the centroids of `partition`.
 * @param report - called now and then; what it throws ends the work between two groups.
 */
export function reassignRows(
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  partition: Partition,
  groups: Partition,
  report: () => void,
): void {
  const { centroids, assignment } = partition
  const distances = distancesNow(rows, dim, index, partition)
  const candidates = rowsNearGroups(rows, dim, index, groups.centroids, report)
  const found = new Uint32Array(index.length)
  const foundDistances = new Float32Array(index.length)
  for (const [group, clusters] of membersOf(groups.assignment, groups.centroids.length / dim).entries()) {
    report()
    const positions = candidates[group]!
    const count = positions.length
    const named = positions.map(position => index[position]!)
    const local = gatherRows(centroids, dim, clusters)
    kernels.nearest(rows, dim, named, count, local, clusters.length, found, foundDistances)
    for (let j = 0; j < count; j++) {
      const position = positions[j]!
      if (!(foundDistances[j]! < distances[position]!)) continue
      distances[position] = foundDistances[j]!
      assignment[position] = clusters[found[j]!]!
    }
  }
}

/** Groups that a row looks into: they hold 0.85 of the centroids that are nearer than a row's own. */
const NEAR_GROUPS = 4
/** Rows between two reports, a few milliseconds. */
const REPORT_ROWS = 1024

/** Squared distance of each row to its centroid. */
function distancesNow(
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  partition: Partition,
): Float32Array {
  return Float32Array.from(index, (row, position) => {
    const cluster = partition.assignment[position]!
    let sum = 0
    for (let d = 0; d < dim; d++) {
      const gap = rows[row * dim + d]! - partition.centroids[cluster * dim + d]!
      sum += gap * gap
    }
    return sum
  })
}

/** Per group, the positions of the rows that have it among their nearest groups. */
function rowsNearGroups(
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  groups: Float32Array,
  report: () => void,
): Uint32Array[] {
  const count = groups.length / dim
  const near = Math.min(NEAR_GROUPS, count)
  const distances = new Float32Array(count)
  const best = new Uint32Array(near)
  const bestDistances = new Float32Array(near)
  const ranked = new Uint32Array(index.length * near)
  for (let position = 0; position < index.length; position++) {
    if (position % REPORT_ROWS === 0) report()
    const row = index[position]!
    kernels.distances('l2', rows.subarray(row * dim, (row + 1) * dim), groups, dim, 0, count, distances)
    kernels.topK(distances, count, near, best, bestDistances)
    ranked.set(best, position * near)
  }
  return membersOf(ranked, count).map(entries => entries.map(entry => Math.floor(entry / near)))
}

function gatherRows(matrix: Float32Array, dim: number, index: Uint32Array): Float32Array {
  const out = new Float32Array(index.length * dim)
  for (let j = 0; j < index.length; j++) {
    out.set(matrix.subarray(index[j]! * dim, (index[j]! + 1) * dim), j * dim)
  }
  return out
}
