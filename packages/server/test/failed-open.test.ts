// Proves: an opening, a close, or work between the two that fails at whatever operation of the disk leaves no file open and no lock, and says why
// by a code; what was acknowledged is there when the database is opened again. A flush that fails again and again fills neither disk nor process.
import { FaultFs, type FileLock, FsError, type OpenMode, SimFs } from '@drift/fs'
import { expect, it } from 'vitest'
import { Drift, type OpenOptions } from '../src/index.js'
import { churn, contents, fill, SMALL } from './churn.js'

/** Knows what is open. */
class WatchedFs extends FaultFs {
  readonly files = new Map<number, string>()
  locks = 0

  override open(path: string, mode: OpenMode): number {
    const fd = super.open(path, mode)
    this.files.set(fd, path)
    return fd
  }

  override close(fd: number): void {
    this.files.delete(fd)
    super.close(fd)
  }

  override lock(path: string): FileLock {
    const lock = super.lock(path)
    this.locks++
    return {
      release: () => {
        this.locks--
        lock.release()
      },
    }
  }

  get held(): readonly string[] {
    return [...this.files.values(), ...Array.from({ length: this.locks }, () => 'lock')]
  }
}

/** A database with segments, tombstones and rows that are only in the log. @param isClean - it was closed. */
async function written(isClean: boolean): Promise<{ disk: SimFs; rows: unknown }> {
  const disk = new SimFs()
  const db = await Drift.open('/db', { ...SMALL, fs: disk })
  const docs = await fill(db)
  await churn(docs, 3)
  const rows = await contents(docs)
  if (isClean) await db.close()
  return { disk: isClean ? disk : disk.processKill(), rows }
}

async function life(fs: FaultFs, options: OpenOptions): Promise<void> {
  const db = await Drift.open('/db', { ...SMALL, ...options, fs })
  await db.close()
}

it.each([
  ['that was closed', true, {}],
  ['that was killed', false, {}],
  ['that was killed, with recovery of what can be', false, { recovery: 'salvage' }],
  ['that was killed, read only', false, { readOnly: true }],
] as [string, boolean, OpenOptions][])('of a database %s', async (_, isClean, options) => {
  const { disk, rows } = await written(isClean)
  const whole = new WatchedFs(disk.processKill(), [])
  await life(whole, options)
  expect(whole.held).toEqual([])
  let failed = 0
  for (const forever of [false, true])
    for (let at = 1; at <= whole.operationCount; at += forever ? 3 : 1) {
      const image = disk.processKill()
      const fs = new WatchedFs(image, [{ at, errno: 'EIO', forever }])
      const error = await life(fs, options).then(
        () => undefined,
        error => error,
      )
      if (error) {
        failed++
        expect(error, `operation ${at}`).toMatchObject({ code: expect.stringMatching(/^DRIFT_/) })
      }
      expect([at, forever, fs.held]).toEqual([at, forever, []])
      if (at % 5 > 0) continue
      const again = await Drift.open('/db', { ...SMALL, fs: image })
      expect(await contents(await again.collection('docs')), `operation ${at}`).toEqual(rows)
      await again.close()
    }
  expect(failed).toBeGreaterThan(20)
})

it('of a database that is written, flushed, compacted and dropped from', async () => {
  const work = async (fs: FaultFs, acknowledged: Set<number>): Promise<void> => {
    const db = await Drift.open('/db', { ...SMALL, fs })
    try {
      const docs = await db.collection('docs', { dim: 1, metric: 'l2', memtableRows: 16 })
      const gone = await db.collection('gone', { dim: 1, metric: 'l2' })
      await gone.upsert([{ id: 1, vector: [1] }])
      await gone.flush()
      for (let i = 0; i < 60; i += 3) {
        await docs.upsert([0, 1, 2].map(j => ({ id: i + j, vector: [i], payload: { i } })))
        for (const j of [0, 1, 2]) acknowledged.add(i + j)
        if (i % 4 > 0) continue
        // Whether a delete that fails with the log is in it nobody knows.
        acknowledged.delete(i - 1)
        if (i > 0) await docs.delete([i - 1])
      }
      await docs.compact()
      await db.drop('gone')
    } finally {
      await db.close()
    }
  }
  const whole = new WatchedFs(new SimFs(), [])
  await work(whole, new Set())
  for (let at = 1; at <= whole.operationCount; at += 3) {
    const disk = new SimFs()
    const fs = new WatchedFs(disk, [{ at, errno: 'EIO' }])
    const acknowledged = new Set<number>()
    await work(fs, acknowledged).catch(error => {
      expect(error, `operation ${at}`).toMatchObject({ code: expect.stringMatching(/^DRIFT_/) })
    })
    expect([at, fs.held]).toEqual([at, []])
    if (at % 5 > 0) continue
    const db = await Drift.open('/db', { ...SMALL, fs: disk })
    const docs = db.collections().includes('docs') ? await db.collection('docs') : undefined
    for (const id of acknowledged) expect(await docs?.get(id), `row ${id}, operation ${at}`).toBeDefined()
    expect((await db.check()).ok).toBe(true)
    await db.close()
  }
})

/** Has no room for manifests, and removes none. */
class CrampedFs extends WatchedFs {
  isCramped = false

  override open(path: string, mode: OpenMode): number {
    if (this.isCramped && mode === 'create' && path.includes('manifest-')) {
      throw new FsError('DRIFT_FS_ENOSPC', 'no room', { operation: 'open', path })
    }
    return super.open(path, mode)
  }

  override remove(path: string): void {
    if (path.includes('manifest-'))
      throw new FsError('DRIFT_FS_EIO', 'not removed', { operation: 'remove', path })
    super.remove(path)
  }
}

it('of a database whose manifests find no room, and are not removed', async () => {
  const disk = new SimFs()
  const fs = new CrampedFs(disk, [])
  const db = await Drift.open('/db', { ...SMALL, fs, minFreeBytes: 0 })
  const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
  const segments = () => disk.list('/db').filter(name => name.startsWith('seg-')).length
  await docs.upsert([{ id: 1, vector: [1] }])
  const { length: held } = fs.held
  fs.isCramped = true
  for (let i = 0; i < 5; i++) {
    await expect(docs.flush()).rejects.toMatchObject({ code: 'DRIFT_FS_ENOSPC' })
    expect([segments(), fs.held.length]).toEqual([0, held])
  }
  fs.isCramped = false
  await docs.flush()
  expect([segments(), fs.held.length]).toEqual([1, held + 1])
  await db.close()
  expect(fs.held).toEqual([])
  await using again = await Drift.open('/db', { ...SMALL, fs: disk })
  expect(await (await again.collection('docs')).get(1)).toBeDefined()
})
