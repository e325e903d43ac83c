// What opening does with a damaged log. strict: refuses and changes nothing (durability.test.ts). salvage: every record that validates
// comes back, what is gone is named LSN by LSN, and the damaged file stays in quarantine/. pointInTime: the state after that LSN.
// A crash at any operation of such an opening leaves a database that the same opening brings to the same state.
import { inspectWal } from '@drift/core'
import { type DriftFs, FaultFs, FsError, SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { Drift, type OpenOptions, type Progress, type RecoveryMode } from '../src/index.js'
import { cutBefore } from './fixture.js'

const SMALL = { walFileBytes: 64 * 1024, threads: 0 } as const
const BATCHES = 40

describe('salvage', () => {
  it('brings back every batch but the damaged one, says which LSN is gone, and keeps the damaged file', async () => {
    for (const victim of [3, 17, 40]) {
      const disk = await written()
      const lsn = damage(disk, victim)
      await expect(open(disk)).rejects.toMatchObject({ code: 'DRIFT_WAL_CORRUPT' })
      const db = await open(disk, { recovery: 'salvage' })
      const report = db.recovery
      expect((await db.stats()).recovery).toBe(report)
      expect(await idsOf(db)).toEqual(ids(BATCHES).filter(id => id !== lsn - 1))
      expect(report.losses).toContainEqual(
        expect.objectContaining({ kind: 'gap', firstLsn: lsn, lastLsn: lsn }),
      )
      expect(report.quarantined).toContain('recovery.json')
      const kept = disk.list('/db/quarantine').filter(name => name.startsWith('wal-'))
      expect(kept).toHaveLength(1)
      expect(report.quarantined).toEqual(expect.arrayContaining(kept))
      await (await db.collection('docs')).upsert([row(1_000)])
      await db.close()
      // From here on it is a whole database again.
      const again = await open(disk)
      expect(again.recovery).toMatchObject({ mode: 'strict', losses: [] })
      expect(await idsOf(again)).toEqual([...ids(BATCHES).filter(id => id !== lsn - 1), 1_000])
      await again.close()
    }
  })

  it('gives back what is left when a whole log file is missing, shortened or without its header', async () => {
    for (const harm of [remove, shorten, behead]) {
      const disk = await written()
      const files = disk.list('/db').filter(name => name.startsWith('wal-'))
      expect(files.length).toBeGreaterThan(2)
      harm(disk, `/db/${files[1]}`)
      await expect(open(disk), harm.name).rejects.toMatchObject({ code: 'DRIFT_WAL_CORRUPT' })
      const db = await open(disk, { recovery: 'salvage' })
      const found = await idsOf(db)
      const lost = db.recovery.losses.filter(loss => loss.kind === 'gap')
      const named = lost.flatMap(({ firstLsn, lastLsn }) =>
        ids(lastLsn! - firstLsn! + 1).map(i => firstLsn! - 2 + i),
      )
      expect(named.length, harm.name).toBeGreaterThan(0)
      expect(
        [...found, ...named].sort((a, b) => a - b),
        harm.name,
      ).toEqual(ids(BATCHES))
      await db.close()
      const again = await open(disk)
      expect(await idsOf(again)).toEqual(found)
      await again.close()
    }
  })

  it('tells a log file that is gone from a log that ended, also when nothing else was written since it was begun', async () => {
    for (const ended of ['closed', 'killed']) {
      const before = await written(ended === 'closed')
      const db = await open(before)
      await (await db.collection('docs')).upsert([row(1_000)])
      const disk = before.processKill()
      const newest = disk
        .list('/db')
        .filter(name => name.startsWith('wal-'))
        .at(-1)!
      disk.remove(`/db/${newest}`)
      await expect(open(disk), ended).rejects.toMatchObject({
        code: 'DRIFT_WAL_CORRUPT',
        details: { kind: 'missing' },
      })
      const rest = await open(disk, { recovery: 'salvage' })
      expect(rest.recovery.losses, ended).toContainEqual(expect.objectContaining({ kind: 'missing' }))
      expect(await idsOf(rest)).toEqual(ids(BATCHES))
      await rest.close()
      const again = await open(disk)
      expect(again.recovery).toMatchObject({ mode: 'strict', losses: [] })
      await again.close()
    }
  })

  it('sets a damaged segment aside, says which rows are lost, and gives back all others', async () => {
    const disk = await flushed()
    const before = await idsOfCopy(disk)
    const segment = fileOf(disk, /^seg-/)
    flipByte(disk, segment, 4_096 + 200)
    const whole = disk.processKill()
    await expect(open(disk)).rejects.toMatchObject({ code: 'DRIFT_CORRUPT_CRC' })
    const db = await open(disk, { recovery: 'salvage' })
    const [loss, ...more] = db.recovery.losses
    expect(more).toEqual([])
    expect(loss).toMatchObject({ kind: 'rows', collection: 'docs', unknownIds: 0 })
    expect(loss!.ids!.length).toBeGreaterThan(0)
    expect(db.recovery.quarantined).toEqual([segment.slice('/db/'.length)])
    expect(disk.list('/db/quarantine')).toEqual(['repair.json', segment.slice('/db/'.length)])
    const found = await idsOf(db)
    const missing = before.filter(id => !found.includes(id))
    expect(missing.length).toBeGreaterThan(0)
    expect(loss!.ids).toEqual(expect.arrayContaining(missing))
    // Replaced since, in a file that is whole.
    expect(found).toContain(7)
    await (await db.collection('docs')).upsert([row(1_000)])
    await db.close()
    const again = await open(disk)
    expect(again.recovery).toMatchObject({ mode: 'strict', losses: [] })
    expect(await idsOf(again)).toEqual([...found, 1_000])
    expect((await again.check()).ok).toBe(true)
    await again.close()
    // Read-only, nothing is set aside: the damage is refused as ever.
    await expect(open(whole, { recovery: 'salvage', readOnly: true })).rejects.toMatchObject({
      code: 'DRIFT_CORRUPT_CRC',
    })
  })

  it.each([
    ['a damaged manifest', /^manifest-/, 60],
    ['a damaged FORMAT', /^FORMAT$/, 20],
    ['a damaged index file', /^idx-/, 70],
  ])('loses nothing to %s', async (_, pattern, at) => {
    const disk = await flushed()
    const before = await idsOfCopy(disk)
    flipByte(disk, fileOf(disk, pattern), at)
    const db = await open(disk, { recovery: 'salvage' })
    expect(db.recovery.losses).toEqual([])
    expect(await idsOf(db)).toEqual(before)
    await db.close()
    const again = await open(disk)
    expect(await idsOf(again)).toEqual(before)
    await again.close()
  })

  it('takes bytes that a read could not get for unknown, not for damaged: it fails, or all is there', async () => {
    const disk = await flushed()
    const before = await idsOfCopy(disk)
    let refused = 0
    for (let at = 1, reads = 0; reads >= at - 3; at += 3) {
      const image = disk.processKill()
      const faulty = new FaultFs(image, [{ at, errno: 'EIO', operation: 'read' }])
      const read = faulty.read.bind(faulty)
      reads = 0
      faulty.read = (...given) => {
        reads++
        return read(...given)
      }
      const opened: unknown = await open(faulty, { recovery: 'salvage' }).catch(error => error)
      if (opened instanceof Drift) {
        expect(opened.recovery.losses, `read ${at}`).toEqual([])
        await opened.close()
      } else {
        expect(opened, `read ${at}`).toMatchObject({ code: 'DRIFT_FS_EIO' })
        expect(image.stat('/db/quarantine'), `read ${at}`).toBeUndefined()
        refused++
      }
      expect(await idsAfter(image, 'strict'), `read ${at}`).toEqual(before)
    }
    expect(refused).toBeGreaterThan(5)
  })

  it.each(['salvage', 'repair'])('%s makes an index anew that cannot be read', async how => {
    const disk = await flushed()
    const before = await idsOfCopy(disk)
    const faulty = new FaultFs(disk, [])
    let unread = -1
    const [openFile, read] = [faulty.open.bind(faulty), faulty.read.bind(faulty)]
    faulty.open = (path, mode) => {
      const fd = openFile(path, mode)
      if (path === index) unread = fd
      return fd
    }
    faulty.read = (fd, ...into) => {
      if (fd === unread) throw new FsError('DRIFT_FS_EIO', 'a sector', { operation: 'read', path: index })
      return read(fd, ...into)
    }
    const index = fileOf(disk, /^idx-/)
    if (how === 'repair')
      expect(await Drift.repair('/db', { fs: faulty })).toMatchObject({ losses: [], check: { ok: true } })
    else {
      const db = await open(faulty, { recovery: 'salvage' })
      expect(db.recovery.losses).toEqual([])
      await db.close()
    }
    expect(await idsAfter(disk, 'strict')).toEqual(before)
    expect(disk.stat(index)).toBeUndefined()
  })

  it('says so when a tombstone file cannot be read, and when a segment is gone altogether', async () => {
    for (const [pattern, kind] of [
      [/^del-/, 'deletions'],
      [/^seg-/, 'rows'],
    ] as const) {
      const disk = await flushed()
      disk.remove(fileOf(disk, pattern))
      await expect(open(disk)).rejects.toMatchObject({ code: 'DRIFT_FS_ENOENT' })
      const db = await open(disk, { recovery: 'salvage' })
      expect(db.recovery.losses).toEqual([
        expect.objectContaining({ kind, collection: 'docs', unknownIds: expect.any(Number), ids: [] }),
      ])
      expect(db.recovery.losses[0]!.unknownIds).toBeGreaterThan(0)
      await db.close()
      await (await open(disk)).close()
    }
  })

  it('saves files and log of the same database at once', async () => {
    const disk = await flushed()
    flipByte(disk, fileOf(disk, /^seg-/), 4_096 + 200)
    // LSN 6: after the creation, two upserts, a deletion and the first row of the log.
    const lsn = damage(disk, 5)
    const db = await open(disk, { recovery: 'salvage' })
    expect(db.recovery.losses.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['rows', 'gap']))
    expect(db.recovery.losses).toContainEqual(
      expect.objectContaining({ kind: 'gap', firstLsn: lsn, lastLsn: lsn }),
    )
    const found = await idsOf(db)
    expect(found).toContain(BATCHES + 3)
    expect(found).not.toContain(BATCHES + 2)
    await db.close()
    const again = await open(disk)
    expect(await idsOf(again)).toEqual(found)
    await again.close()
  })

  it('names lost rows in its report also when their ids are bigints', async () => {
    const disk = new SimFs()
    const first = await open(disk, { maintenance: 'manual' })
    const docs = await first.collection('docs', { dim: 8, metric: 'l2' })
    await docs.upsert(ids(BATCHES).map(id => ({ ...row(id), id: 2n ** 60n + BigInt(id) })))
    await docs.flush()
    for (const id of [1, 2, 3]) await docs.upsert([row(id)])
    await first.close()
    flipByte(disk, fileOf(disk, /^seg-/), 4_096 + 200)
    damage(disk, 3)
    const db = await open(disk, { recovery: 'salvage' })
    await db.close()
    const lost = db.recovery.losses.flatMap(loss => loss.ids ?? [])
    expect(lost.length).toBeGreaterThan(0)
    const { losses } = JSON.parse(textOf(disk, '/db/quarantine/recovery.json')) as {
      losses: { ids?: string[] }[]
    }
    expect(losses.flatMap(loss => loss.ids ?? [])).toEqual(lost.map(id => `${id}n`))
  })

  it('of a whole database is an ordinary opening', async () => {
    const disk = await written()
    const db = await open(disk, { recovery: 'salvage' })
    expect(db.recovery).toMatchObject({ mode: 'salvage', losses: [], quarantined: [] })
    expect(await idsOf(db)).toEqual(ids(BATCHES))
    await db.close()
    expect(disk.stat('/db/quarantine')).toBeUndefined()
  })
})

describe('pointInTime', () => {
  it('is the state after any LSN that the log holds, and the rest is kept aside', async () => {
    for (const lsn of [1, 2, 20, BATCHES, BATCHES + 1]) {
      const disk = await written()
      const db = await open(disk, { recovery: { pointInTime: lsn } })
      expect(await idsOf(db), `LSN ${lsn}`).toEqual(ids(Math.max(0, lsn - 1)))
      expect(db.recovery.losses).toHaveLength(lsn === BATCHES + 1 ? 0 : 1)
      const { lsn: next } = await (await db.collection('docs', { dim: 8, metric: 'l2' })).upsert([row(500)])
      expect(next).toBeGreaterThan(lsn)
      await db.close()
      const again = await open(disk)
      expect(await idsOf(again)).toEqual([...ids(Math.max(0, lsn - 1)), 500])
      await again.close()
    }
  })

  it('forgets a collection that was created later, and refuses to go back behind a drop or a flush', async () => {
    const disk = await written()
    const db = await open(disk)
    const more = await db.collection('more', { dim: 8, metric: 'l2' })
    await more.upsert([row(1)])
    await db.close()
    const back = await open(disk.processKill(), { recovery: { pointInTime: BATCHES } })
    expect(back.collections()).toEqual(['docs'])
    await back.close()

    const dropped = disk.processKill()
    const dropping = await open(dropped)
    await dropping.drop('docs')
    await dropping.close()
    await expect(open(dropped, { recovery: { pointInTime: 5 } })).rejects.toMatchObject({
      code: 'DRIFT_POINT_IN_TIME',
    })
    const flushed = disk.processKill()
    const flushing = await open(flushed)
    await (await flushing.collection('docs')).flush()
    await flushing.close()
    const before = flushed.operationCount
    await expect(open(flushed, { recovery: { pointInTime: 5 } })).rejects.toMatchObject({
      code: 'DRIFT_POINT_IN_TIME',
      details: expect.objectContaining({ lsn: 5 }),
    })
    expect(flushed.operationCount).toBeGreaterThan(before)
    await expect(open(flushed, { recovery: { pointInTime: 9_999 } })).rejects.toMatchObject({
      code: 'DRIFT_POINT_IN_TIME',
    })
    const after = await open(flushed)
    expect(await idsOf(after)).toEqual([1, ...ids(BATCHES)]) // row 1 of the other collection too
    await after.close()
  })

  it.each(['none', { pointInTime: -1 }, { pointInTime: 1.5 }, {}, null])(
    '%j is no recovery mode',
    async recovery => {
      await expect(open(new SimFs(), { recovery: recovery as RecoveryMode })).rejects.toMatchObject({
        code: 'DRIFT_OPTION',
      })
    },
  )
})

describe('a power cut while damaged files are set aside', () => {
  it('leaves what salvage brings to the same state', async () => {
    const whole = await flushed()
    flipByte(whole, fileOf(whole, /^seg-/), 4_096 + 200)
    const expected = await idsAfter(whole.processKill(), 'salvage')
    let cuts = 0
    for (let at = 1; ; at += 2) {
      let image: SimFs | undefined
      const disk: SimFs = whole.processKill({
        before(_operation, _path, count) {
          if (count === at) image = disk.powerCut(at % 3 ? { data: 'none', entries: 'none' } : { seed: at })
        },
      })
      const db = await open(disk, { recovery: 'salvage' })
      await db.close()
      if (!image) break
      cuts++
      expect(await idsAfter(image, 'salvage'), `cut before operation ${at}`).toEqual(expected)
    }
    expect(cuts).toBeGreaterThan(40)
  })
})

describe('a power cut while a log is replaced', () => {
  it.each(['salvage', { pointInTime: 20 }] as RecoveryMode[])(
    'leaves what %j brings to the same state',
    async recovery => {
      const whole = await written()
      if (recovery === 'salvage') damage(whole, 17)
      const expected = await idsAfter(whole.processKill(), recovery)
      let cuts = 0
      for (let at = 1; ; at++) {
        const { disk, left } = cutBefore(whole, at)
        const db = await open(disk, { recovery })
        await db.close()
        const image = left()
        if (!image) break
        cuts++
        expect(await idsAfter(image, recovery), `cut before operation ${at}`).toEqual(expected)
      }
      expect(cuts).toBeGreaterThan(40)
    },
  )
})

describe('an index file that knows of deletions that the log has lost', () => {
  it.each(['salvage', 'pointInTime'] as const)(
    'hides no row after %s, also when the process is killed before it can write another',
    async mode => {
      const disk = new SimFs()
      const db = await open(disk, { maintenance: 'manual' })
      const docs = await db.collection('docs', { dim: 8, metric: 'l2' })
      await docs.upsert(ids(BATCHES).map(row))
      await docs.flush()
      const { durableLsn } = (await db.stats()).wal
      await docs.delete([5, 6])
      await db.close()
      expect(await idsOfCopy(disk)).not.toContain(5)
      if (mode === 'salvage')
        for (const name of disk.list('/db')) if (/^wal-/.test(name)) remove(disk, `/db/${name}`)
      const recovery: RecoveryMode = mode === 'salvage' ? mode : { pointInTime: durableLsn }
      const recovered = await open(disk, { recovery })
      const killed = disk.processKill()
      expect(await idsOf(recovered)).toEqual(ids(BATCHES))
      await recovered.close()
      for (const image of [killed, disk]) {
        const again = await open(image)
        expect(await idsOf(again)).toEqual(ids(BATCHES))
        expect((await again.check()).findings.filter(({ severity }) => severity !== 'info')).toEqual([])
        await again.close()
      }
    },
  )
})

it('a long replay tells its bytes and can be cancelled', async () => {
  const disk = new SimFs()
  const db = await Drift.open('/db', { fs: disk, threads: 0, walFileBytes: 1024 * 1024 })
  const docs = await db.collection('docs', { dim: 512, metric: 'l2' })
  const vectors = new Float32Array(2_000 * 512).fill(1)
  for (let i = 0; i < 6; i++)
    await docs.upsert({ ids: Array.from({ length: 2_000 }, (_, j) => i * 2_000 + j), vectors })
  await db.close()
  const seen: Progress[] = []
  const again = await open(disk, { onProgress: progress => seen.push(progress) })
  await again.close()
  const replays = seen.filter(({ stage }) => stage === 'replay')
  expect(replays.length).toBeGreaterThanOrEqual(3)
  expect(replays.every(({ unit, done, total }) => unit === 'bytes' && done <= total && total > 2e7)).toBe(
    true,
  )
  expect(replays.at(-1)!.done).toBe(replays.at(-1)!.total)
  const controller = new AbortController()
  const cancelled = open(disk, {
    signal: controller.signal,
    onProgress: () => controller.abort(new Error('enough')),
  })
  await expect(cancelled).rejects.toThrow('enough')
  await (await open(disk)).close()
})

/** One row a batch: batch n is row n at LSN n + 1, since the creation is LSN 1. Everything is in the log, over several files. */
async function written(close = true): Promise<SimFs> {
  const disk = new SimFs()
  const db = await open(disk)
  const docs = await db.collection('docs', { dim: 8, metric: 'l2' })
  for (const id of ids(BATCHES)) await docs.upsert([row(id)])
  if (!close) return disk.processKill()
  await db.close()
  return disk
}

/** Rows and deletions in files, an index file, and three rows more in the log. Everything is on stable storage. */
async function flushed(): Promise<SimFs> {
  const disk = new SimFs()
  const db = await open(disk, { maintenance: 'manual' })
  const docs = await db.collection('docs', { dim: 8, metric: 'l2' })
  await docs.upsert(ids(BATCHES).map(row))
  await docs.flush()
  await docs.delete([5, 6])
  await docs.upsert([row(7)])
  await docs.flush()
  for (const more of [1, 2, 3]) await docs.upsert([row(BATCHES + more)])
  await db.close()
  return disk.powerCut({ data: 'none', entries: 'none' })
}

function idsOfCopy(disk: SimFs): Promise<number[]> {
  return idsAfter(disk.processKill(), 'strict')
}

/** The newest manifest, or the first of other files. */
function fileOf(disk: SimFs, pattern: RegExp): string {
  const found = disk.list('/db').filter(name => pattern.test(name))
  return `/db/${pattern.source.includes('manifest') ? found.at(-1) : found[0]}`
}

function textOf(disk: SimFs, path: string): string {
  const bytes = new Uint8Array(disk.stat(path)!.bytes)
  const fd = disk.open(path, 'read')
  disk.read(fd, bytes, 0)
  disk.close(fd)
  return new TextDecoder().decode(bytes)
}

function flipByte(disk: SimFs, path: string, at: number): void {
  const fd = disk.open(path, 'write')
  const byte = new Uint8Array(1)
  disk.read(fd, byte, at)
  disk.write(fd, Uint8Array.of(byte[0]! ^ 4), at)
  disk.fsync(fd)
  disk.close(fd)
}

/** Flips a bit in the payload of the frame that holds row `victim`. @returns its LSN. */
function damage(disk: SimFs, victim: number): number {
  for (const { path, frames } of inspectWal(disk, '/db'))
    for (const { offset, header } of frames) {
      if (header?.records !== 1 || header.firstLsn !== victim + 1) continue
      const fd = disk.open(path, 'write')
      const byte = new Uint8Array(1)
      disk.read(fd, byte, offset + 100)
      disk.write(
        fd,
        byte.map(value => value ^ 4),
        offset + 100,
      )
      disk.fsync(fd)
      disk.close(fd)
      return header.firstLsn
    }
  throw new Error(`no frame holds row ${victim}`)
}

function remove(disk: SimFs, path: string): void {
  disk.remove(path)
}

function shorten(disk: SimFs, path: string): void {
  const fd = disk.open(path, 'write')
  disk.truncate(fd, 8 * 4096)
  disk.close(fd)
}

function behead(disk: SimFs, path: string): void {
  const fd = disk.open(path, 'write')
  disk.write(fd, new Uint8Array(4096).fill(7), 0)
  disk.close(fd)
}

function open(fs: DriftFs, options: OpenOptions = {}): Promise<Drift> {
  return Drift.open('/db', { ...SMALL, fs, ...options })
}

async function idsAfter(disk: SimFs, recovery: RecoveryMode): Promise<number[]> {
  const db = await open(disk, { recovery })
  const found = await idsOf(db)
  await db.close()
  return found
}

async function idsOf(db: Drift): Promise<number[]> {
  const found: number[] = []
  for (const name of db.collections())
    for await (const { id, vector } of (await db.collection(name)).scan()) {
      expect(vector).toEqual(row(id as number).vector)
      found.push(id as number)
    }
  return found.sort((a, b) => a - b)
}

function ids(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1)
}

function row(id: number): { id: number; vector: Float32Array } {
  return { id, vector: Float32Array.from({ length: 8 }, (_, i) => id * 10 + i) }
}
