/** Proves that the log is never cut above what the newest manifest needs. */
import { SimFs } from '@drift/fs'
import { loadManifest } from '@drift/storage'
import { expect, it } from 'vitest'
import { inlineExecutor } from './executor.js'
import { PersistenceManager } from './persistence.js'

it('a commit that does not know of the flush before it leaves the floor of the log where it is', async () => {
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
  await persistence.commit(() => ({ floorLsn: 12, durableLsn: 11, collections: [] }))
  await persistence.commit(() => ({ floorLsn: 10, durableLsn: 11, collections: [] }))
  const newest = loadManifest(fs, '/db')!.manifest
  expect(newest.number).toBe(2)
  expect(newest.floorLsn).toBe(12)
  expect(persistence.logFloor).toBeLessThanOrEqual(newest.floorLsn)
})
