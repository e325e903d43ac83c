// `check` finds nothing in a sound database, open and busy or closed; any damaged byte of any file, and any missing or strange file, is
// found at its place; and looking changes nothing. Real files.
import {
  appendFileSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { FaultFs, FsError, type OpenMode, SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { Drift } from '../src/index.js'
import { churn, fill, SMALL, withDatabase } from './churn.js'
import { clusteredVectors, randomNumbers, temporaryFolder } from './fixture.js'

describe('check', () => {
  it('finds nothing in a database that is open, and reads every byte that counts', async () => {
    const path = temporaryFolder()
    await withDatabase(path, { maintenance: 'off' }, async db => {
      await fill(db)
      const report = await db.check()
      expect(report).toMatchObject({ ok: true, findings: [] })
      const named = readdirSync(path).filter(name => /^(seg|del|idx)-/.test(name))
      expect(report.files).toBeGreaterThan(named.length)
      expect(report.bytes).toBeGreaterThan(
        named.reduce((bytes, name) => bytes + statSync(join(path, name)).size, 0),
      )
    })
    expect(await Drift.check(path)).toMatchObject({ ok: true, findings: [] })
  })

  it('finds nothing while writes and flushes go on', async () => {
    await withDatabase(temporaryFolder(), { maintenance: 'off' }, async db => {
      const docs = await fill(db)
      let checking = true
      let checks = 0
      const checker = (async () => {
        while (checking) {
          const { ok, findings } = await db.check()
          expect(findings).toEqual([])
          expect(ok).toBe(true)
          checks++
        }
      })()
      for (let round = 0; round < 40; round++) {
        await churn(docs, 500 + round)
        if (round % 4 === 3) await docs.flush()
      }
      checking = false
      await checker
      expect(checks).toBeGreaterThan(1)
      expect(readdirSync(db.path).filter(name => /^seg-/.test(name)).length).toBe(
        (await docs.stats()).segments,
      )
    })
  })

  it('writes nothing', async () => {
    const disk = new SimFs()
    await withDatabase('/db', { fs: disk }, fill)
    const operations: string[] = []
    const watched = disk.processKill({ before: operation => operations.push(operation) })
    expect((await Drift.check('/db', { fs: watched })).ok).toBe(true)
    expect([...new Set(operations)].sort()).toEqual(['close', 'list', 'open', 'read', 'stat'])
  })

  it('finds a damaged byte wherever it is, names the file, and tells truth from what is derived', async () => {
    const path = temporaryFolder()
    await withDatabase(path, {}, fill)
    // A log that ended cleanly: rows in it are needed, so its frames are truth.
    const random = randomNumbers(5)
    const found = new Set<string>()
    for (const name of readdirSync(path).filter(name => name !== 'LOCK')) {
      const file = join(path, name)
      const sound = readFileSync(file)
      // What follows the last frame of a log is never read.
      const used = name.startsWith('wal') ? sound.findLastIndex(byte => byte !== 0) : sound.length
      for (let round = 0; round < 12; round++) {
        const bytes = Buffer.from(sound)
        const at = Math.floor(random() * used)
        bytes[at]! ^= 1 << Math.floor(random() * 8)
        writeFileSync(file, bytes)
        const report = await Drift.check(path)
        const inPadding = name.startsWith('wal') && report.ok
        if (inPadding) continue
        expect({ name, at, ok: report.ok }).toEqual({ name, at, ok: false })
        expect(report.findings.map(finding => finding.file)).toContain(name)
        if (name.startsWith('idx')) expect(report.findings.every(({ truth }) => !truth)).toBe(true)
        found.add(name.split('-')[0]!)
      }
      writeFileSync(file, sound)
    }
    // How many there are of each is the background's choice.
    expect([...found]).toEqual(expect.arrayContaining(['FORMAT', 'manifest', 'seg', 'wal']))
    expect(await Drift.check(path)).toMatchObject({ ok: true })
  })

  it('lists every damaged page of a segment and goes on behind it', async () => {
    const path = temporaryFolder()
    await withDatabase(path, {}, async db => {
      const docs = await db.collection('docs', { dim: 512, metric: 'l2' })
      await docs.upsert({ ids: [...Array(200).keys()], vectors: clusteredVectors(200, 512, 1) })
      await docs.flush()
    })
    const [segment] = readdirSync(path).filter(name => /^seg-/.test(name))
    const bytes = readFileSync(join(path, segment!))
    for (const at of [5000, 100_000, 200_000]) bytes[at]! ^= 1
    writeFileSync(join(path, segment!), bytes)
    const { findings } = await Drift.check(path)
    expect(findings).toHaveLength(3)
    for (const finding of findings)
      expect(finding).toMatchObject({ file: segment, kind: 'damaged', severity: 'error', truth: true })
    expect(new Set(findings.map(({ offset }) => offset)).size).toBe(3)
  })

  it('finds missing files, and lists strange and unfinished ones without calling them wrong', async () => {
    const path = temporaryFolder()
    await withDatabase(path, {}, fill)
    const [segment] = readdirSync(path).filter(name => /^seg-/.test(name))
    copyFileSync(join(path, segment!), join(path, 'seg-0000000000009999.drs'))
    writeFileSync(join(path, 'seg-0000000000009998.drs.tmp'), 'half')
    writeFileSync(join(path, 'notes.txt'), 'somebody else wrote this')
    const strange = await Drift.check(path)
    expect(strange.ok).toBe(true)
    expect(strange.findings.map(({ file, kind }) => `${kind} ${file}`)).toEqual([
      'unnamed seg-0000000000009999.drs',
      'unfinished seg-0000000000009998.drs.tmp',
    ])
    rmSync(join(path, segment!))
    const missing = await Drift.check(path)
    expect(missing.ok).toBe(false)
    expect(missing.findings).toContainEqual(
      expect.objectContaining({ file: segment, kind: 'missing', truth: true }),
    )
  })

  it('finds that another file lies under the name, though it is whole', async () => {
    const path = temporaryFolder()
    // A compaction in the background could leave one segment.
    await withDatabase(path, { maintenance: 'off' }, fill)
    const [first, second] = readdirSync(path).filter(name => /^seg-/.test(name))
    copyFileSync(join(path, first!), join(path, second!))
    const { findings } = await Drift.check(path)
    expect(findings).toContainEqual(expect.objectContaining({ file: second, kind: 'damaged' }))
  })

  it('finds a log that was cut, or that has bytes behind its end', async () => {
    const path = temporaryFolder()
    await withDatabase(path, {}, fill)
    const log = readdirSync(path).findLast(name => /^wal-/.test(name))!
    appendFileSync(join(path, log), 'x')
    expect((await Drift.check(path)).findings).toContainEqual(
      expect.objectContaining({ file: log, kind: 'log', truth: true }),
    )
  })

  it('stops when asked to, and lets the files go that it kept', async () => {
    await withDatabase(temporaryFolder(), {}, async db => {
      const docs = await fill(db)
      const controller = new AbortController()
      const check = db.check({ signal: controller.signal, onProgress: () => controller.abort() })
      await expect(check).rejects.toThrow('aborted')
      await docs.flush()
      await churn(docs, 77)
      await docs.flush()
      await churn(docs, 78)
      await docs.flush()
      expect(await db.check()).toMatchObject({ ok: true, findings: [] })
    })
  })

  it('reports progress up to the end', async () => {
    const path = temporaryFolder()
    await withDatabase(path, {}, fill)
    const reports: { done: number; total: number }[] = []
    await Drift.check(path, { onProgress: progress => reports.push(progress) })
    const { done, total } = reports.at(-1)!
    expect(done).toBe(total)
    expect(total).toBeGreaterThan(100_000)
  })
})

describe('check of a folder without a sound manifest', () => {
  it.each([0, 1])('says so (%i of two damaged)', async spared => {
    const path = temporaryFolder()
    await withDatabase(path, SMALL, fill)
    const manifests = readdirSync(path).filter(name => /^manifest-/.test(name))
    expect(manifests).toHaveLength(2)
    for (const name of manifests.slice(spared)) {
      const bytes = readFileSync(join(path, name))
      bytes[bytes.length >> 1]! ^= 4
      writeFileSync(join(path, name), bytes)
    }
    const { ok, findings } = await Drift.check(path)
    expect(ok).toBe(false)
    expect(findings.filter(({ kind }) => kind === 'manifest')).toMatchObject(
      spared === 1 ? [{ severity: 'warning' }] : [{ severity: 'error' }, { severity: 'error' }],
    )
  })
})

it('looks again when a file of the log is removed while it is looked for', async () => {
  const disk = new FlightyFs(new SimFs(), [])
  await withDatabase('/db', { fs: disk }, async db => {
    await fill(db)
    disk.isArmed = true
    expect((await db.check()).findings.filter(({ severity }) => severity !== 'info')).toEqual([])
    expect(disk.isArmed).toBe(false)
    disk.isArmed = true
    await db.backup('/copy')
    expect(disk.isArmed).toBe(false)
  })
})

/** The next file of the log that is opened for reading is gone, once. */
class FlightyFs extends FaultFs {
  isArmed = false

  override open(path: string, mode: OpenMode): number {
    if (this.isArmed && mode === 'read' && /^\/db\/wal-/.test(path)) {
      this.isArmed = false
      throw new FsError('DRIFT_FS_ENOENT', `${path} is gone`, { operation: 'open', path })
    }
    return super.open(path, mode)
  }
}
