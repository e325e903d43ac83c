/** Proves that a checkpoint gives back the partition that was written, and that no row can be at home outside of it. */
import { SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { checkpoint, FOLDER, uuidOf } from '../test/fixture.js'
import { seeded } from '../test/seeded.js'
import { type CheckpointInput, NO_HOME, readCheckpoint, writeCheckpoint } from './checkpoint.js'

const disk = new SimFs()
disk.makeFolder(FOLDER)
const roundTrip = (input: CheckpointInput) =>
  readCheckpoint(disk, FOLDER, writeCheckpoint(disk, FOLDER, 'partition', input))

describe('a checkpoint', () => {
  it('round-trips', () => {
    const { createdMs: _, ...content } = checkpoint()
    expect(roundTrip(checkpoint())).toEqual(content)
  })

  it('of nothing round-trips', () => {
    const content = { uuid: uuidOf(1), dim: 8, centroids: new Float32Array(0), homes: [] }
    expect(roundTrip(content)).toEqual(content)
  })

  it('of many rows, given as views into larger arrays, round-trips', () => {
    const random = seeded(2)
    const centroids = random.floats(50 * 16 + 3).subarray(3)
    const homes = Uint32Array.from({ length: 100_000 }, () => random.int(50)).subarray(1)
    const content = { uuid: uuidOf(1), dim: 16, centroids, homes: [{ segment: uuidOf(2), homes }] }
    const read = roundTrip(content)
    expect(Buffer.compare(Buffer.from(read.centroids.buffer), Buffer.from(centroids.slice().buffer))).toBe(0)
    expect(Buffer.compare(Buffer.from(read.homes[0]!.homes.buffer), Buffer.from(homes.slice().buffer))).toBe(
      0,
    )
  })

  it.each<[string, Partial<CheckpointInput>]>([
    [
      'a home outside of the centroids',
      { homes: [{ segment: uuidOf(1), homes: Uint32Array.of(NO_HOME, 5) }] },
    ],
    ['half a centroid', { centroids: new Float32Array(4) }],
    ['a dim of 0', { dim: 0 }],
    ['a segment without uuid', { homes: [{ segment: '', homes: Uint32Array.of(0) }] }],
  ])('is not written with %s', (_, change) => {
    const attempt = () => writeCheckpoint(disk, FOLDER, 'wrong', { ...checkpoint(), ...change })
    expect(attempt).toThrow(expect.objectContaining({ code: 'DRIFT_ARGUMENT' }))
    expect(disk.list(FOLDER).filter(name => name.startsWith('wrong'))).toEqual([])
  })
})
