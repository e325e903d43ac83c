// Proves: an opening or a close that fails at whatever operation of the disk leaves no file open and no lock, and says why by a code; what
// was acknowledged is there when the database is opened again.
import { FaultFs, type FileLock, type OpenMode, SimFs } from '@drift/fs'
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
