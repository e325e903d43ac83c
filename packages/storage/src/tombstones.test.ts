/** Proves that a tombstone file gives back the ids that were deleted, and that it stands for its own range of writes only. */
import { SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { outcome } from '../test/damage.js'
import { ascii, FOLDER, hex, uuidOf } from '../test/fixture.js'
import { seeded } from '../test/seeded.js'
import { readTombstones, writeTombstones } from './tombstones.js'

const disk = new SimFs()
disk.makeFolder(FOLDER)

const write = (ids: readonly Uint8Array[]) =>
  writeTombstones(disk, FOLDER, 'deleted', { uuid: uuidOf(1), ids, lsnLow: 3, lsnHigh: 9 })

describe('a tombstone file', () => {
  it.each([0, 1, 2, 30_000])('of %d ids round-trips', count => {
    const ids = Array.from({ length: count }, (_, i) => ascii(`id-${i}`))
    const entry = write(ids)
    expect(entry).toMatchObject({ rows: count, lsnLow: 3, lsnHigh: 9 })
    expect(readTombstones(disk, FOLDER, entry).map(hex)).toEqual(ids.map(hex))
  })

  it('round-trips ids of 0 bytes to 1 KiB', () => {
    const random = seeded(1)
    const ids = [0, 1, 1024].map(length => random.bytes(length))
    expect(readTombstones(disk, FOLDER, write(ids))).toEqual(ids)
  })

  it.each([{ rows: 3 }, { lsnLow: 2 }, { lsnHigh: 10 }, { uuid: uuidOf(2) }, { bytes: 1 }])(
    'is refused by a manifest that says %j of it',
    change => {
      const entry = { ...write([ascii('a'), ascii('b')]), ...change }
      expect(outcome(() => readTombstones(disk, FOLDER, entry))).toEqual({ code: 'DRIFT_CORRUPT_IDENTITY' })
    },
  )
})
