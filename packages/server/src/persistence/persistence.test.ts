/** Proves that the log is never cut above what the newest manifest needs, and that nothing is committed once the files are let go. */
import { SimFs } from '@drift/fs'
import { loadManifest } from '@drift/storage'
import { expect, it } from 'vitest'
import { inlineExecutor, threadExecutor } from './executor.js'
import { pack } from './packing.js'
import { PersistenceManager } from './persistence.js'

function managed(): { fs: SimFs; persistence: PersistenceManager } {
  const fs = new SimFs()
  fs.makeFolder('/db')
  const manifest = {
    number: 0,
    database: '00'.repeat(16),
    floorLsn: 1,
    durableLsn: 0,
    nextCollection: 1,
    nextFile: 1,
    collections: [],
  }
  const persistence = new PersistenceManager(
    '/db',
    inlineExecutor(fs),
    { manifest, crc: 0, nextNumber: 1 },
    [],
  )
  return { fs, persistence }
}

it('a commit that does not know of the flush before it leaves the floor of the log where it is', async () => {
  const { fs, persistence } = managed()
  await persistence.commit(() => ({ floorLsn: 12, durableLsn: 11, collections: [] }))
  await persistence.commit(() => ({ floorLsn: 10, durableLsn: 11, collections: [] }))
  const newest = loadManifest(fs, '/db')!.manifest
  expect(newest.number).toBe(2)
  expect(newest.floorLsn).toBe(12)
  expect(persistence.logFloor).toBeLessThanOrEqual(newest.floorLsn)
})

it('a close waits for the commits before it; one that comes later is told that it is closed, and so are files', async () => {
  const { fs, persistence } = managed()
  const before = persistence.commit(() => ({ floorLsn: 2, durableLsn: 1, collections: [] }))
  const closed = persistence.close()
  const late = persistence.commit(() => ({ floorLsn: 3, durableLsn: 2, collections: [] }))
  await expect(late).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
  const file = persistence.writeTombstones({ ids: pack([Uint8Array.of(1)]), lsnLow: 1, lsnHigh: 1 })
  await expect(file).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
  await Promise.all([before, closed])
  expect(persistence.failed).toBeUndefined()
  expect(loadManifest(fs, '/db')!.manifest).toMatchObject({ number: 1, floorLsn: 2 })
})

it('a thread that is closed as it starts loads to its end, and does what it was given', async () => {
  const executor = threadExecutor()
  const given = executor.run({ kind: 'remove', paths: [] })
  await executor.close()
  await expect(given).resolves.toBeUndefined()
})
