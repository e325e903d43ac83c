// A repair gives back everything that can still be read, in a folder that `check` finds nothing wrong with and that takes new writes; it
// loses nothing without being told to, touches nothing when it refuses, keeps damaged files aside, and can be cut off and run again.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { NodeFs, SimFs } from '@drift/fs'
import { commitManifest, loadManifest } from '@drift/storage'
import { beforeAll, describe, expect, it } from 'vitest'
import { Drift } from '../src/index.js'
import { type Contents, churn, contents, fill, rowText, SMALL, withDatabase } from './churn.js'
import { clusteredVectors, randomNumbers, temporaryFolder } from './fixture.js'

/** One sound database, copied for each test. */
let golden: string
let wanted: Contents
beforeAll(async () => {
  golden = join(temporaryFolderForAll(), 'db')
  await withDatabase(golden, {}, async db => {
    wanted = await contents(await fill(db))
  })
  return () => rmSync(golden, { recursive: true })
})

function temporaryFolderForAll(): string {
  return join(process.env['TMPDIR'] ?? '/tmp', `drift-repair-${process.pid}`)
}

function copyOfGolden(): string {
  const path = join(temporaryFolder(), 'db')
  cpSync(golden, path, { recursive: true })
  return path
}

function names(path: string, pattern: RegExp): string[] {
  return readdirSync(path).filter(name => pattern.test(name))
}

function flip(path: string, name: string, at: number): void {
  const bytes = readFileSync(join(path, name))
  bytes[at]! ^= 0x20
  writeFileSync(join(path, name), bytes)
}

function image(path: string): Map<string, string> {
  const files = names(path, /./).filter(name => name !== 'LOCK' && statSync(join(path, name)).isFile())
  return new Map(files.map(name => [name, readFileSync(join(path, name)).toString('base64')]))
}

async function read(path: string, options: object = {}, name = 'docs'): Promise<Contents> {
  return withDatabase(path, options, async db => contents(await db.collection(name)))
}

/** Opens, checks, writes on, and opens again. */
async function expectAlive(path: string, rows: Contents): Promise<void> {
  expect(await read(path)).toEqual(rows)
  const after = await withDatabase(path, {}, async db => {
    const docs = await db.collection('docs')
    await churn(docs, 31)
    await docs.flush()
    await churn(docs, 32)
    expect((await db.check()).findings.filter(({ severity }) => severity !== 'info')).toEqual([])
    return contents(docs)
  })
  expect(await read(path)).toEqual(after)
}

describe('repair', () => {
  it('changes nothing when nothing is wrong', async () => {
    const path = copyOfGolden()
    const before = image(path)
    expect(await Drift.repair(path)).toMatchObject({ changed: false, losses: [], check: { ok: true } })
    expect(image(path)).toEqual(before)
  })

  it.each([
    ['FORMAT', /^FORMAT$/, 20],
    ['the newest manifest', /^manifest-.*$/, 60],
    ['a checkpoint', /^idx-/, 70],
  ])('gives back everything when %s is damaged', async (_, pattern, at) => {
    const path = copyOfGolden()
    const name = names(path, pattern).at(-1)!
    flip(path, name, at)
    expect((await Drift.check(path)).ok).toBe(false)
    const report = await Drift.repair(path)
    expect(report).toMatchObject({ changed: true, losses: [], check: { ok: true }, quarantined: [name] })
    await expectAlive(path, wanted)
  })

  it('gives back everything when the id filter of a segment is damaged, which is made anew', async () => {
    const path = copyOfGolden()
    const [segment] = names(path, /^seg-/)
    // Somewhere before the figures and the directories at the end: the first place where only what is derived is concerned.
    for (let at = statSync(join(path, segment!)).size - 500; ; at -= 16) {
      flip(path, segment!, at)
      const { ok, findings } = await Drift.check(path)
      if (!ok && findings.every(({ kind }) => kind === 'derived')) break
      flip(path, segment!, at)
    }
    expect(await Drift.repair(path)).toMatchObject({
      changed: true,
      losses: [],
      quarantined: [segment],
      check: { ok: true },
    })
    await expectAlive(path, wanted)
  })

  it('gives back everything when a checkpoint or FORMAT is gone', async () => {
    const path = copyOfGolden()
    for (const name of names(path, /^(idx-|FORMAT)/)) rmSync(join(path, name))
    expect(await Drift.repair(path)).toMatchObject({ changed: true, losses: [], check: { ok: true } })
    await expectAlive(path, wanted)
  })

  it('takes the manifest before when that loses nothing', async () => {
    const path = join(temporaryFolder(), 'db')
    const rows = await withDatabase(path, {}, async db => {
      const docs = await fill(db)
      await docs.flush()
      return contents(docs)
    })
    // The newest segment is named by the newest manifests only; what it holds may still be in the log.
    const manifests = names(path, /^manifest/)
    expect(manifests).toHaveLength(2)
    flip(path, manifests[1]!, 50)
    expect(await Drift.repair(path)).toMatchObject({ changed: true, losses: [], quarantined: [manifests[1]] })
    await expectAlive(path, rows)
  })

  it('refuses to lose rows, touches nothing, and keeps every other row when told to go on', async () => {
    const path = join(temporaryFolder(), 'db')
    const vectors = clusteredVectors(200, 512, 1)
    const ids = [...Array(200).keys()]
    await withDatabase(path, { maintenance: 'off' }, async db => {
      const docs = await db.collection('docs', { dim: 512, metric: 'l2' })
      // An older version of every row, which must not come back.
      await docs.upsert({ ids, vectors: vectors.map(value => value + 1) })
      await docs.flush()
      await docs.upsert({ ids, vectors, payloads: ids.map(n => ({ n })) })
      await docs.flush()
    })
    const before = await read(path)
    const [, segment] = names(path, /^seg-/)
    flip(path, segment!, 5000)
    flip(path, segment!, 200_000)
    const damaged = image(path)
    const refusal = (await Drift.repair(path).catch((error: unknown) => error)) as {
      code: string
      details: { losses: { ids: number[]; count: number; unknownIds: number; lsnLow: number }[] }
    }
    expect(refusal.code).toBe('DRIFT_REPAIR_LOSS')
    expect(image(path)).toEqual(damaged)
    const [loss] = refusal.details.losses
    expect(loss).toMatchObject({ kind: 'rows', file: segment, collection: 'docs', unknownIds: 0 })
    expect(loss!.count).toBe(loss!.ids.length)
    expect(loss!.count).toBeGreaterThan(0)
    expect(loss!.count).toBeLessThan(40)
    const report = await Drift.repair(path, { acceptLoss: true })
    expect(report).toMatchObject({ changed: true, quarantined: [segment], check: { ok: true } })
    const lost = new Set(loss!.ids.map(id => `number ${id}`))
    expect(await read(path)).toEqual(new Map([...before].filter(([id]) => !lost.has(id))))
    expect(existsSync(join(path, 'quarantine', segment!))).toBe(true)
  })

  it('lists a segment of which nothing can be read by rows and LSN', async () => {
    const path = copyOfGolden()
    const [segment] = names(path, /^seg-/)
    flip(path, segment!, statSync(join(path, segment!)).size - 20)
    const refusal = (await Drift.repair(path).catch((error: unknown) => error)) as {
      details: { losses: unknown[] }
    }
    expect(refusal.details.losses).toMatchObject([
      { kind: 'rows', file: segment, lsnLow: expect.any(Number) },
    ])
    const report = await Drift.repair(path, { acceptLoss: true })
    expect(report.check.ok).toBe(true)
    const left = await read(path)
    expect(left.size).toBeGreaterThan(0)
    for (const [id, row] of left) if (wanted.has(id)) expect([wanted.get(id), undefined]).toContain(row)
    await expectAlive(path, left)
  })

  it.each(['del', 'seg', 'wal'] as const)(
    'gives every reader the same rows when a %s file is gone that the index file knows',
    async kind => {
      const path = join(temporaryFolder(), 'db')
      const row = (id: number, value: number) => ({ id, vector: new Float32Array(8).fill(value) })
      const ids = [...Array(500).keys()]
      await withDatabase(path, { maintenance: 'manual' }, async db => {
        const docs = await db.collection('docs', { dim: 8, metric: 'l2' })
        await docs.upsert(ids.map(id => row(id, id)))
        await docs.flush()
        await docs.delete([1, 2])
        await docs.upsert([row(3, -3)])
        if (kind !== 'wal') await docs.flush()
      })
      await withDatabase(path, {}, async () => undefined)
      expect(names(path, /^idx-/).length).toBeGreaterThan(0)
      const gone = names(path, new RegExp(`^${kind}-`))
      rmSync(join(path, kind === 'wal' ? gone[0]! : gone.at(-1)!))
      const report = await Drift.repair(path, { acceptLoss: true })
      expect(report.check.ok).toBe(true)
      const lost = kind === 'seg' ? [1, 2] : []
      const third = kind === 'del' ? -3 : 3
      await withDatabase(path, {}, async db => {
        const rows = await contents(await db.collection('docs'))
        expect([...rows.keys()].sort()).toEqual(
          ids
            .filter(id => !lost.includes(id))
            .map(id => `number ${id}`)
            .sort(),
        )
        expect(rows.get('number 3')).toBe(rowText(row(3, third).vector, undefined))
        expect((await db.check()).findings.filter(({ severity }) => severity !== 'info')).toEqual([])
      })
    },
  )

  it('keeps what the log holds before and behind its damage, names the LSN that is gone, and gives none twice', async () => {
    const path = join(temporaryFolder(), 'db')
    const late = (n: number) => ({ id: `late-${n}`, vector: new Float32Array(8).fill(n) })
    const [before, after] = await withDatabase(path, {}, async db => {
      const docs = await fill(db, 2)
      const before = await contents(docs)
      for (let n = 0; n < 8; n++) await docs.upsert([late(n)])
      return [before, await contents(docs)]
    })
    const log = names(path, /^wal-/).at(-1)!
    const bytes = readFileSync(join(path, log))
    const victim = bytes.indexOf('late-3')
    flip(path, log, victim)
    await expect(read(path)).rejects.toMatchObject({ code: 'DRIFT_WAL_CORRUPT' })
    await expect(Drift.repair(path)).rejects.toMatchObject({ code: 'DRIFT_REPAIR_LOSS' })
    const report = await Drift.repair(path, { acceptLoss: true })
    expect(report).toMatchObject({ changed: true, losses: [{ kind: 'log' }], check: { ok: true } })
    const [loss] = report.losses
    expect(loss!.lsnHigh).toBe(loss!.lsnLow)
    const left = await read(path)
    const gone = [...after.keys()].filter(id => !left.has(id))
    expect(gone).toHaveLength(1)
    expect(gone[0]).toMatch(/late-3/)
    expect(left.size).toBe(before.size + 7)
    for (const [id, row] of left) expect(row).toEqual(after.get(id))
    expect(names(join(path, 'quarantine'), /^repair.json$/)).toHaveLength(1)
    await expectAlive(path, left)
  })

  it('tells of writes to a collection whose creation the log lost', async () => {
    const path = join(temporaryFolder(), 'db')
    await withDatabase(path, {}, async db => {
      await db.collection('kept', { dim: 8, metric: 'l2' })
      const gone = await db.collection('without-creation', { dim: 8, metric: 'l2' })
      await gone.upsert([{ id: 'a', vector: new Float32Array(8) }])
    })
    const log = names(path, /^wal-/).at(-1)!
    flip(path, log, readFileSync(join(path, log)).indexOf('without-creation'))
    // The manifests know the collection: nothing is lost with the record. One from before its creation does not.
    cpSync(path, `${path}-copy`, { recursive: true })
    expect(await Drift.repair(`${path}-copy`)).toMatchObject({ changed: true, losses: [] })
    expect((await read(`${path}-copy`, {}, 'without-creation')).size).toBe(1)
    const fs = new NodeFs()
    const { manifest, crc } = loadManifest(fs, path)!
    const [kept] = manifest.collections
    for (const name of names(path, /^manifest/)) rmSync(join(path, name))
    commitManifest(
      fs,
      path,
      { ...manifest, number: manifest.number + 1, floorLsn: 1, collections: [kept!] },
      crc,
    )
    const report = await Drift.repair(path, { acceptLoss: true })
    expect(report.losses.map(({ message }) => message)).toEqual([
      expect.stringMatching(/LSN 2 to 2/),
      expect.stringMatching(/LSN 3: the creation of its collection 2 is gone/),
    ])
    await withDatabase(path, {}, async db => expect(db.collections()).toEqual(['kept']))
  })

  it('makes any database with one damaged byte open again, and never invents or changes a row', async () => {
    const sim = new SimFs()
    const before = await withDatabase('/db', { fs: sim }, async db => contents(await fill(db)))
    const random = randomNumbers(11)
    let lossless = 0
    const rounds = 60
    for (let round = 0; round < rounds; round++) {
      const fs = sim.processKill()
      const all = fs.list('/db').filter(name => name !== 'LOCK')
      const name = all[Math.floor(random() * all.length)]!
      const path = `/db/${name}`
      const bytes = new Uint8Array(fs.stat(path)!.bytes)
      const fd = fs.open(path, 'write')
      fs.read(fd, bytes, 0)
      const used = name.startsWith('wal') ? bytes.findLastIndex(byte => byte !== 0) : bytes.length
      const at = Math.floor(random() * used)
      fs.write(fd, Uint8Array.of(bytes[at]! ^ (1 << Math.floor(random() * 8))), at)
      fs.close(fd)
      const report = await Drift.repair('/db', { fs, acceptLoss: true })
      const wrong = report.check.findings.filter(({ severity }) => severity !== 'info')
      expect({ name, at, wrong }).toEqual({ name, at, wrong: [] })
      const left = await read('/db', { fs })
      if (report.losses.length > 0) continue
      const same = JSON.stringify([...left]) === JSON.stringify([...before])
      expect({ name, at, same }).toEqual({ name, at, same: true })
      lossless++
    }
    expect(lossless).toBeGreaterThan(rounds / 5)
    expect(lossless).toBeLessThan(rounds)
  })

  it.each([
    ['FORMAT', /^FORMAT$/],
    ['the newest manifest', /^manifest-/],
    ['a log file', /^wal-/],
    ['a segment', /^seg-/],
    ['a tombstone file', /^del-/],
    ['an index file', /^idx-/],
  ])('takes a folder in the place of %s for damage, and moves it aside', async (_, pattern) => {
    const place = async () => {
      const path = copyOfGolden()
      await withDatabase(path, { maintenance: 'manual' }, async db => {
        const docs = await db.collection('docs')
        for (const seed of [41, 42]) {
          await churn(docs, seed)
          await docs.flush()
        }
      })
      const name = names(path, pattern).at(-1)!
      rmSync(join(path, name))
      mkdirSync(join(path, name))
      writeFileSync(join(path, name, 'mine'), 'kept')
      return { path, name }
    }
    const expectKept = ({ path, name }: Awaited<ReturnType<typeof place>>) =>
      expect(readFileSync(join(path, 'quarantine', name, 'mine'), 'utf8')).toBe('kept')

    const first = await place()
    const { ok, findings } = await Drift.check(first.path)
    expect(ok).toBe(false)
    expect(findings.some(({ message }) => message.includes(first.name))).toBe(true)
    const repaired = await Drift.repair(first.path, { acceptLoss: true })
    expect(repaired).toMatchObject({ changed: true, check: { ok: true } })
    expect(repaired.quarantined).toContain(first.name)
    expectKept(first)
    await expectAlive(first.path, await read(first.path))

    const second = await place()
    await withDatabase(second.path, { recovery: 'salvage' }, async db => {
      expect(db.recovery.quarantined).toContain(second.name)
    })
    expectKept(second)
    await expectAlive(second.path, await read(second.path))
  })

  it('that is cut off by a power failure is finished by the next one', async () => {
    const sim = new SimFs()
    await withDatabase('/db', { fs: sim }, db => fill(db, 3))
    const segment = sim.list('/db').find(name => /^seg-/.test(name))!
    const fd = sim.open(`/db/${segment}`, 'write')
    const byte = new Uint8Array(1)
    sim.read(fd, byte, 4300)
    sim.write(fd, Uint8Array.of(byte[0]! ^ 1), 4300)
    sim.fsync(fd)
    sim.close(fd)
    const whole = sim.processKill()
    await Drift.repair('/db', { fs: whole, acceptLoss: true })
    const repaired = await read('/db', { fs: whole })
    const images: SimFs[] = []
    const disk: SimFs = sim.processKill({
      before: (_operation, _path, count) => {
        if (count % 4 === 0) images.push(disk.powerCut({ seed: count }))
      },
    })
    await Drift.repair('/db', { fs: disk, acceptLoss: true })
    expect(images.length).toBeGreaterThan(20)
    for (const cut of images) {
      const again = await Drift.repair('/db', { fs: cut, acceptLoss: true })
      expect(again.check.findings.filter(({ severity }) => severity !== 'info')).toEqual([])
      expect(await read('/db', { fs: cut })).toEqual(repaired)
    }
  })

  it('is refused while the database is open, without one, and without a manifest', async () => {
    const path = copyOfGolden()
    await withDatabase(path, SMALL, async () => {
      await expect(Drift.repair(path)).rejects.toMatchObject({ code: 'DRIFT_LOCKED' })
    })
    await expect(Drift.repair(join(path, 'none'))).rejects.toMatchObject({ code: 'DRIFT_NO_DATABASE' })
    for (const name of names(path, /^manifest/)) flip(path, name, 40)
    await expect(Drift.repair(path, { acceptLoss: true })).rejects.toMatchObject({
      code: 'DRIFT_REPAIR_IMPOSSIBLE',
    })
    await expect(Drift.repair(path, { acceptLoss: 1 as never })).rejects.toMatchObject({
      code: 'DRIFT_OPTION',
    })
  })
})
