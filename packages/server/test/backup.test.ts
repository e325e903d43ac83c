// A backup is the database of one moment: taken while writes, flushes and removals go on it holds every write up to its LSN and none
// after, it stands on its own when the database is gone, and one that was cut off, failed or damaged never opens as a good one.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import { FaultFs, FsError, SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { Drift } from '../src/index.js'
import { type Contents, churn, contents, DIM, fill, rowText, SMALL, withDatabase } from './churn.js'
import { clusteredVectors, filesOpenIn, temporaryFolder } from './fixture.js'

async function contentsAt(path: string, options: object = {}): Promise<Contents> {
  return withDatabase(path, options, async db => contents(await db.collection('docs')))
}

describe('a backup', () => {
  it('taken during churn holds exactly the writes up to its LSN', async () => {
    const root = temporaryFolder()
    const history = new Map<number, Contents>()
    const lsns: [folder: string, lsn: number][] = []
    await withDatabase(join(root, 'db'), {}, async db => {
      const docs = await fill(db)
      const model = new Map(await contents(docs))
      let writing = true
      const writer = (async () => {
        for (let n = 0; writing || n % 8 !== 0; n++) {
          const id = `churn-${n % 40}`
          const vector = new Float32Array(DIM).fill(n)
          const { lsn } = await docs.upsert([{ id, vector, payload: { n } }])
          model.set(`string ${id}`, rowText(vector, { n }))
          history.set(lsn, new Map([...model].sort(([a], [b]) => (a < b ? -1 : 1))))
          if (n % 8 === 7) await docs.flush()
        }
      })()
      for (let copy = 0; copy < 5; copy++) {
        const folder = join(root, `backup-${copy}`)
        const { lsn, linkedFiles, files, bytes } = await db.backup(folder, { copy: copy % 2 === 1 })
        expect(linkedFiles > 0).toBe(copy % 2 === 0)
        expect(files).toBeGreaterThan(3)
        expect(bytes).toBeGreaterThan(10_000)
        lsns.push([folder, lsn])
      }
      writing = false
      await writer
      expect(await db.check()).toMatchObject({ ok: true, findings: [] })
    })
    rmSync(join(root, 'db'), { recursive: true })
    expect(new Set(lsns.map(([, lsn]) => lsn)).size).toBeGreaterThan(1)
    for (const [folder, lsn] of lsns) {
      expect(await Drift.check(folder)).toMatchObject({ ok: true, findings: [] })
      const wanted = history.get(lsn)
      if (wanted) expect(await contentsAt(folder)).toEqual(wanted)
      else expect(lsn).toBeLessThan(Math.min(...history.keys()))
    }
  })

  it('goes on as a database of its own, and the first one does not notice', async () => {
    const root = temporaryFolder()
    const copy = join(root, 'deep', 'copy')
    await withDatabase(join(root, 'db'), {}, async db => {
      const docs = await fill(db)
      await db.backup(copy)
      const before = await contents(docs)
      await withDatabase(copy, {}, async other => {
        const rows = await other.collection('docs')
        expect(await contents(rows)).toEqual(before)
        for (let round = 0; round < 6; round++) {
          await churn(rows, 900 + round)
          await rows.flush()
        }
      })
      expect(await contents(docs)).toEqual(before)
      expect(await db.check()).toMatchObject({ ok: true, findings: [] })
    })
  })

  it('of an empty database, and of one without segments, opens too', async () => {
    const root = temporaryFolder()
    await withDatabase(join(root, 'db'), {}, async db => {
      await db.backup(join(root, 'empty'))
      const docs = await db.collection('docs', { dim: 2 })
      await docs.upsert([{ id: 1, vector: [1, 0] }])
      await db.backup(join(root, 'log'))
    })
    await withDatabase(join(root, 'empty'), {}, async db => expect(db.collections()).toEqual([]))
    expect([...(await contentsAt(join(root, 'log'))).keys()]).toEqual(['number 1'])
  })

  it('brings a database out of memory to the disk', async () => {
    const folder = join(temporaryFolder(), 'copy')
    await withDatabase(':memory:', {}, async db => {
      const wanted = await contents(await fill(db))
      expect(await db.backup(folder)).toMatchObject({ linkedFiles: 0 })
      expect(await contentsAt(folder)).toEqual(wanted)
    })
  })

  it('may lie in the folder of the database under any name, which it opens with as before', async () => {
    const path = join(temporaryFolder(), 'db')
    const wanted = await withDatabase(path, {}, async db => {
      const docs = await fill(db, 2)
      for (const name of ['copy', 'tmp-copy']) await db.backup(join(path, name))
      return contents(docs)
    })
    for (const folder of [path, join(path, 'copy'), join(path, 'tmp-copy')])
      expect(await contentsAt(folder)).toEqual(wanted)
  })

  it.each(['tmp-wal-5.drw', 'tmp-', 'wal-5.drw.tmp', 'manifest-7.drm.tmp'])(
    'in the folder of the database under %s, which is like a name of its own, keeps it from nothing after a kill',
    async name => {
      const fs = new SimFs()
      const db = await Drift.open('/db', { fs, threads: 0 })
      const docs = await db.collection('docs', { dim: 1 })
      await docs.upsert([{ id: 1, vector: [1] }])
      await db.backup(join('/db', name))
      await docs.upsert([{ id: 2, vector: [1] }])
      const killed = fs.processKill()
      await db.close()
      for (const [folder, rows] of [
        ['/db', 2],
        [join('/db', name), 1],
      ] as const) {
        await using again = await Drift.open(folder, { fs: killed, threads: 0 })
        expect(await (await again.collection('docs')).count()).toBe(rows)
      }
    },
  )

  it('that is cut off by a close leaves no file behind that the database does not need any more', async () => {
    for (let round = 0; round < 5; round++) {
      const root = temporaryFolder()
      const path = join(root, 'db')
      const db = await Drift.open(path, SMALL)
      const docs = await fill(db, 2)
      await docs.compact()
      await churn(docs, 900)
      const backup = db.backup(join(root, 'copy')).catch(error => error.code)
      await db.close()
      await backup
      expect((await Drift.check(path)).findings).toEqual([])
    }
  })

  it.each([
    'seg-0000000000000099.drs',
    'del-0000000000000099.drt',
    'idx-0000000000000099.drg/deep',
    'wal-0000000000000099.drw',
    'manifest-00000000000000000099.drm',
    'tmp-wal-0000000000000099.drw',
    'tmp-reserve',
    'quarantine',
    'quarantine/copy',
  ])(
    'in the folder of the database is refused as %s, whose name is of the database, and nothing is written',
    async name => {
      const root = temporaryFolder()
      const path = join(root, 'db')
      symlinkSync(path, join(root, 'link'))
      await withDatabase(path, {}, async db => {
        await fill(db, 1)
        for (const folder of [join(path, name), relative('.', join(path, name)), join(root, 'link', name)])
          await expect(db.backup(folder)).rejects.toMatchObject({ code: 'DRIFT_PATH' })
        for (const own of [path, join(root, 'link')])
          await expect(db.backup(own)).rejects.toMatchObject({ code: 'DRIFT_BACKUP_EXISTS' })
        expect(existsSync(join(path, name.split('/')[0]!))).toBe(false)
        await db.backup(join(root, name))
      })
    },
  )

  it.each([0, 1, 6])(
    'copied over its database after %i more flushes is told, and nothing is changed',
    async flushes => {
      const root = temporaryFolder()
      const path = join(root, 'db')
      const copy = join(root, 'copy')
      const before = await withDatabase(path, {}, async db => {
        const docs = await fill(db, 2)
        await db.backup(copy, { copy: true })
        const wanted = await contents(docs)
        for (let round = 0; round < flushes; round++) {
          await churn(docs, 900 + round)
          await docs.flush()
        }
        if (flushes === 0) await docs.upsert([{ id: 'later', vector: new Float32Array(DIM) }])
        return wanted
      })
      cpSync(copy, path, { recursive: true })
      const files = readdirSync(path)
      const merged = expect.objectContaining({ code: 'DRIFT_BACKUP_MERGED' })
      for (const options of [{}, { readOnly: true }, { recovery: 'salvage' }])
        await expect(Drift.open(path, options as object)).rejects.toEqual(merged)
      await expect(Drift.repair(path, { acceptLoss: true })).rejects.toEqual(merged)
      const { ok, findings } = await Drift.check(path)
      expect(ok).toBe(false)
      expect(findings).toContainEqual(expect.objectContaining({ kind: 'manifest', severity: 'error' }))
      expect(readdirSync(path)).toEqual(files)
      expect(await contentsAt(copy)).toEqual(before)
    },
  )

  it('in the place of the database opens again after each of its first commits', async () => {
    const root = temporaryFolder()
    const copy = join(root, 'copy')
    await withDatabase(join(root, 'db'), {}, async db => {
      await fill(db, 2)
      await db.backup(copy)
    })
    for (let round = 0; round < 4; round++) {
      await withDatabase(copy, {}, async db => {
        const docs = await db.collection('docs')
        if (round > 0) await churn(docs, 900 + round)
        expect(await db.check()).toMatchObject({ ok: true })
      })
      expect(await Drift.check(copy)).toMatchObject({ ok: true })
    }
  })

  it('needs a folder of its own', async () => {
    const root = temporaryFolder()
    await withDatabase(join(root, 'db'), {}, async db => {
      await fill(db, 2)
      mkdirSync(join(root, 'full'))
      writeFileSync(join(root, 'full', 'mine'), 'kept')
      for (const folder of [join(root, 'full'), db.path])
        await expect(db.backup(folder)).rejects.toMatchObject({ code: 'DRIFT_BACKUP_EXISTS' })
      expect(readdirSync(join(root, 'full'))).toEqual(['mine'])
      await expect(db.backup('')).rejects.toMatchObject({ code: 'DRIFT_PATH' })
      await expect(db.backup(join(root, 'full', 'mine'))).rejects.toMatchObject({
        code: 'DRIFT_NOT_A_FOLDER',
      })
    })
  })

  it('that is aborted leaves nothing, and the database as it was', async () => {
    const root = temporaryFolder()
    await withDatabase(join(root, 'db'), {}, async db => {
      const docs = await fill(db)
      for (const stage of ['backup files', 'backup verify']) {
        const controller = new AbortController()
        const onProgress = (progress: { stage: string }) => {
          if (progress.stage === stage) controller.abort(new Error('enough'))
        }
        const backup = db.backup(join(root, 'copy'), { signal: controller.signal, onProgress })
        await expect(backup).rejects.toThrow('enough')
        expect(existsSync(join(root, 'copy'))).toBe(false)
      }
      await docs.flush()
      await db.backup(join(root, 'copy'))
      expect(statSync(join(root, 'copy', 'FORMAT')).size).toBe(64)
    })
  })

  it('asked for twice in one folder is made once, and stands when the other one has been refused', async () => {
    const root = temporaryFolder()
    await withDatabase(join(root, 'db'), {}, async db => {
      const docs = await db.collection('docs', { dim: 2 })
      await docs.upsert([{ id: 1, vector: [1, 0] }])
      const [first, second] = await Promise.allSettled([
        db.backup(join(root, 'copy')),
        db.backup(join(root, 'copy')),
      ])
      expect(first).toMatchObject({ status: 'fulfilled' })
      expect(second).toMatchObject({ status: 'rejected', reason: { code: 'DRIFT_BACKUP_EXISTS' } })
    })
    expect([...(await contentsAt(join(root, 'copy'))).keys()]).toEqual(['number 1'])
  })

  it('that is aborted takes nothing with it that others put in its folder meanwhile', async () => {
    const root = temporaryFolder()
    const copy = join(root, 'copy')
    await withDatabase(join(root, 'db'), {}, async db => {
      await fill(db)
      const controller = new AbortController()
      const onProgress = () => {
        writeFileSync(join(copy, 'mine'), 'kept')
        controller.abort(new Error('enough'))
      }
      await expect(db.backup(copy, { signal: controller.signal, onProgress })).rejects.toThrow('enough')
    })
    expect(readdirSync(copy)).toEqual(['mine'])
    expect(readFileSync(join(copy, 'mine'), 'utf8')).toBe('kept')
  })

  it.runIf(process.platform === 'linux')('and a check that are cut off leave no file open', async () => {
    const root = temporaryFolder()
    const db = await Drift.open(join(root, 'db'), { threads: 0 })
    // One file that takes many slices, so that each of them is cut off within it.
    const docs = await db.collection('docs', { dim: 256, metric: 'l2', memtableRows: 8192 })
    const ids = Array.from({ length: 8000 }, (_, i) => i)
    await docs.upsert({ ids, vectors: clusteredVectors(8000, 256, 3) })
    await docs.flush()
    const cut = async (call: (options: object) => Promise<unknown>) => {
      const controller = new AbortController()
      const onProgress = () => controller.abort(new Error('enough'))
      await expect(call({ signal: controller.signal, onProgress })).rejects.toThrow('enough')
    }
    await cut(options => db.check(options))
    const closed = expect(db.backup(join(root, 'copy'))).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
    await db.close()
    await closed
    await cut(options => Drift.check(join(root, 'db'), options))
    await cut(options => Drift.repair(join(root, 'db'), options))
    expect(filesOpenIn(root)).toEqual([])
  })

  it('is whole or does not open, wherever the power fails', async () => {
    const sim = new SimFs()
    await withDatabase('/db', { fs: sim }, db => fill(db, 3))
    const wanted = await contentsAt('/db', { fs: sim.processKill() })
    const images: SimFs[] = []
    let armed = false
    const disk: SimFs = sim.processKill({
      before(_operation, _path, count) {
        if (armed && count % 2 === 0) images.push(disk.powerCut({ seed: count }))
      },
    })
    const db = await Drift.open('/db', { ...SMALL, fs: disk })
    armed = true
    await db.backup('/copy')
    armed = false
    await db.close()
    images.push(disk.powerCut({ data: 'none', entries: 'none' }))
    let refused = 0
    for (const [at, image] of images.entries()) {
      const outcome =
        image.stat('/copy') === undefined
          ? 'nothing'
          : await contentsAt('/copy', { fs: image }).catch((error: { code?: string }) => error.code)
      if (typeof outcome === 'string') {
        expect(['nothing', 'DRIFT_CORRUPT_FORMAT', 'DRIFT_NO_COLLECTION']).toContain(outcome)
        refused++
      } else expect({ at, outcome }).toEqual({ at, outcome: wanted })
    }
    expect(refused).toBeGreaterThan(50)
    expect(refused).toBeLessThan(images.length)
  })

  it('that meets an error of the disk says so, and leaves nothing that opens as a good one', async () => {
    const sim = new SimFs()
    await withDatabase('/db', { fs: sim }, db => fill(db, 3))
    let failed = 0
    for (let at = 1; ; at += 5) {
      const disk = sim.processKill()
      let left = Number.POSITIVE_INFINITY
      const faulty = new FaultFs(disk, [])
      // One operation fails, counted from where the backup begins.
      const failing = new Proxy(faulty, {
        get(target, name) {
          const method = Reflect.get(target, name, target) as unknown
          if (typeof method !== 'function') return method
          return (...parameters: unknown[]) => {
            left--
            if (left === 0)
              throw new FsError('DRIFT_FS_EIO', `${String(name)} failed`, { operation: 'read', path: '' })
            return method.apply(target, parameters) as unknown
          }
        },
      })
      const db = await Drift.open('/db', { ...SMALL, fs: failing })
      left = at
      const outcome = await db.backup('/copy').catch((error: { code?: string }) => error.code)
      const met = left <= 0
      left = Number.POSITIVE_INFINITY
      await db.close()
      if (!met) break
      if (typeof outcome === 'string') {
        failed++
        const code = await contentsAt('/copy', { fs: disk }).catch((error: { code?: string }) => error.code)
        expect(['DRIFT_NO_COLLECTION', 'DRIFT_CORRUPT_FORMAT']).toContain(code)
      } else expect(outcome).toMatchObject({ folder: '/copy' })
    }
    expect(failed).toBeGreaterThan(10)
  })

  it('is refused when a file of the database is damaged', async () => {
    const sim = new SimFs()
    await withDatabase('/db', { fs: sim }, db => fill(db, 3))
    await withDatabase('/db', { fs: sim }, async db => {
      await db.collection('docs')
      const name = sim.list('/db').find(file => /^seg-/.test(file))!
      const fd = sim.open(`/db/${name}`, 'write')
      const byte = new Uint8Array(1)
      sim.read(fd, byte, 4200)
      sim.write(fd, Uint8Array.of(byte[0]! ^ 1), 4200)
      await expect(db.backup('/copy')).rejects.toMatchObject({ code: 'DRIFT_BACKUP_DAMAGED' })
      expect(sim.stat('/copy')).toBeUndefined()
      expect(await db.check()).toMatchObject({ ok: false })
    })
  })
})
