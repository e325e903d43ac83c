// Databases of every released format version open with every row, as they were left by `close` and by a killed process, and as they are
// backed up; a version that is not known is refused and left as it is. `DRIFT_WRITE_GOLDEN=1` writes those of a version that is not
// released yet. What is in test/golden is never changed otherwise.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SimFs } from '@drift/fs'
import { kernels } from '@drift/native'
import { describe, expect, it } from 'vitest'
import { Drift, type Row } from '../src/index.js'
import { temporaryFolder } from './fixture.js'

const GOLDEN = fileURLToPath(new URL('./golden', import.meta.url))
const VERSIONS = ['v1'] as const
const OPTIONS = { walFileBytes: 64 * 1024, threads: 0, maintenance: 'manual', shadow: false } as const
const DIM = 6

/** Every kind of id, payloads of every kind and none. */
function rows(from: number, count: number, version = 0): Row[] {
  return Array.from({ length: count }, (_, i) => {
    const n = from + i
    const id = [n, `row ${n} é`, BigInt(n) + 2n ** 60n, -BigInt(n) - 1n][n % 4]!
    const vector = Float32Array.from(
      { length: DIM },
      (_, j) => ((n * 31 + j * 17 + version * 7) % 64) / 8 - 4,
    )
    if (n % 5 === 0) return { id, vector }
    return { id, vector, payload: { n, version, tag: `t${n % 3}`, list: [n, null, 'x'], deep: { a: n / 3 } } }
  })
}

function idsOf(some: readonly Row[]): Row['id'][] {
  return some.map(({ id }) => id)
}

/** What the databases hold: by collection, id to row. */
function expected(): Map<string, Map<Row['id'], Row>> {
  const docs = new Map(rows(0, 60).map(row => [row.id, row]))
  for (const row of rows(20, 10, 1)) docs.set(row.id, row)
  for (const id of idsOf(rows(40, 5))) docs.delete(id)
  for (const row of rows(70, 6)) docs.set(row.id, row)
  for (const id of idsOf(rows(71, 2))) docs.delete(id)
  const late = new Map(rows(100, 3).map(row => [row.id, row]))
  return new Map([
    ['docs', docs],
    ['late', late],
  ])
}

/** Segments, tombstones, an index file, and a log with upserts, a deletion and a collection that is in no file. */
async function write(): Promise<{ clean: SimFs; killed: SimFs }> {
  const disk = new SimFs()
  const db = await Drift.open('/db', { ...OPTIONS, fs: disk })
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2', indexes: { tag: 'keyword' } })
  await docs.upsert(rows(0, 60))
  await docs.compact()
  await docs.upsert(rows(20, 10, 1))
  await docs.delete(idsOf(rows(40, 5)))
  await docs.flush()
  await docs.upsert(rows(70, 6))
  await docs.delete(idsOf(rows(71, 2)))
  await (await db.collection('late', { dim: DIM, metric: 'cosine' })).upsert(rows(100, 3))
  const killed = disk.powerCut({ data: 'none', entries: 'none' })
  await db.close()
  return { clean: disk, killed }
}

if (process.env['DRIFT_WRITE_GOLDEN'] === '1') {
  for (const [name, disk] of Object.entries(await write())) {
    const folder = join(GOLDEN, VERSIONS.at(-1)!, name)
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    for (const file of disk.list('/db').filter(file => file !== 'LOCK')) {
      const bytes = new Uint8Array(disk.stat(`/db/${file}`)!.bytes)
      const fd = disk.open(`/db/${file}`, 'read')
      disk.read(fd, bytes, 0)
      disk.close(fd)
      writeFileSync(join(folder, file), bytes)
    }
  }
}

describe.each(VERSIONS)('a database of format %s', version => {
  it.each(['clean', 'killed'] as const)('opens with every row: %s', async state => {
    const folder = copyOf(version, state)
    const db = await Drift.open(folder, OPTIONS)
    try {
      expect(db.recovery).toMatchObject({ clean: state === 'clean', losses: [], quarantined: [] })
      await expectRows(db)
      expect(await (await db.collection('docs')).stats()).toMatchObject({ quantizer: 'auto' })
      expect((await db.check()).findings.filter(({ severity }) => severity !== 'info')).toEqual([])
      await (await db.collection('docs')).upsert(rows(200, 2))
      await db.backup(`${folder}-backup`)
    } finally {
      await db.close()
    }
    const backup = await Drift.open(`${folder}-backup`, OPTIONS)
    expect(await (await backup.collection('docs')).count()).toBe(expected().get('docs')!.size + 2)
    await backup.close()
  })

  it('opens for reading only, and writes nothing then', async () => {
    const folder = copyOf(version, 'killed')
    const before = imageOf(folder)
    const db = await Drift.open(folder, { readOnly: true, threads: 0 })
    await expectRows(db)
    await db.close()
    expect(imageOf(folder)).toEqual(before)
  })
})

it('a database of a format that is not known yet is refused, and left as it is', async () => {
  const folder = copyOf('v1', 'clean')
  const bytes = readFileSync(join(folder, 'FORMAT'))
  bytes.writeUInt16LE(99, 4)
  bytes.writeUInt32LE(kernels.crc32c(bytes.subarray(0, 60)), 60)
  writeFileSync(join(folder, 'FORMAT'), bytes)
  const before = imageOf(folder)
  for (const recovery of ['strict', 'salvage'] as const)
    await expect(Drift.open(folder, { ...OPTIONS, recovery })).rejects.toMatchObject({
      code: 'DRIFT_FORMAT_VERSION',
    })
  await expect(Drift.repair(folder, { acceptLoss: true })).rejects.toMatchObject({
    code: 'DRIFT_FORMAT_VERSION',
  })
  expect(imageOf(folder)).toEqual(before)
})

async function expectRows(db: Drift): Promise<void> {
  expect(db.collections()).toEqual(['docs', 'late'])
  for (const [name, wanted] of expected()) {
    const collection = await db.collection(name)
    const found = new Map<Row['id'], Row>()
    for await (const { id, vector, payload } of collection.scan())
      found.set(id, payload ? { id, vector, payload } : { id, vector })
    expect([...found.keys()].map(String).sort()).toEqual([...wanted.keys()].map(String).sort())
    for (const [id, row] of wanted) {
      expect(found.get(id)!.payload).toEqual(row.payload)
      // Under cosine vectors are kept at length 1.
      if (name === 'docs') expect(found.get(id)!.vector).toEqual(row.vector)
      const [hit] = await collection.search(row.vector, { k: 1, recall: 1 })
      expect(hit!.distance).toBeLessThan(1e-5)
    }
  }
  expect(await (await db.collection('docs')).count({ filter: { tag: 't1' } })).toBe(
    [...expected().get('docs')!.values()].filter(({ payload }) => payload?.['tag'] === 't1').length,
  )
}

function copyOf(version: string, state: string): string {
  const folder = join(temporaryFolder(), 'db')
  cpSync(join(GOLDEN, version, state), folder, { recursive: true })
  return folder
}

function imageOf(folder: string): [string, string][] {
  const names = readdirSync(folder).filter(name => name !== 'LOCK')
  return names.map(name => [name, readFileSync(join(folder, name)).toString('base64')])
}
