// A disk that fills up: writes are refused before they touch it, reads go on, nothing that was acknowledged is lost, and
// writing resumes by itself. On a simulated disk of a given size, and for a real process that the system refuses bytes.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { FaultFs, FsError, SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { type Collection, Drift, type OpenOptions } from '../src/index.js'
import { temporaryFolder } from './fixture.js'

const MIB = 1024 * 1024
const DIM = 64
const SMALL = { walFileBytes: 256 * 1024, threads: 0 } as const

describe('a disk below its low-water mark', () => {
  it('refuses rows before anything is written, still reads and deletes, and resumes when there is room', async () => {
    const fs = new SimFs({ capacity: 8 * MIB })
    const db = await open(fs, { minFreeBytes: 2 * MIB })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 64 })
    await docs.upsert([row(1), row(2)])
    fs.capacity = 2 * MIB
    expect((await db.stats()).disk).toMatchObject({ state: 'open' }) // asked a moment ago
    await untilFull(db, () => docs.upsert([row(3)]))
    const before = fs.operationCount
    await expect(docs.upsert([row(4)])).rejects.toMatchObject({ code: 'DRIFT_DISK_FULL' })
    expect(fs.operationCount - before).toBeLessThanOrEqual(1) // the question how much is free
    await expect(db.collection('more', { dim: 1 })).rejects.toMatchObject({ code: 'DRIFT_DISK_FULL' })
    expect(await docs.get(1)).toBeDefined()
    expect(await docs.search(row(1).vector, { k: 1 })).toMatchObject([{ id: 1, distance: 0 }])
    expect(await docs.delete([2])).toMatchObject({ deleted: 1 })
    const full = await db.stats()
    expect(full).toMatchObject({ state: 'full', disk: { state: 'full', minFreeBytes: 2 * MIB } })
    expect(full.disk.reason).toContain('low-water')

    fs.capacity = 16 * MIB
    await untilRoom(() => docs.upsert([row(5)]))
    expect((await db.stats()).disk.state).toBe('open')
    await db.close()
    expect(await idsIn(fs)).toEqual(expect.arrayContaining([1, 5]))
    expect(await idsIn(fs)).not.toContain(2)
  })

  it('resumes while nobody writes, and keeps a reserve only while room is scarce', async () => {
    const fs = new SimFs({ capacity: 100 * MIB })
    const db = await open(fs, { minFreeBytes: 4 * MIB })
    const docs = await db.collection('docs', { dim: DIM })
    expect((await db.stats()).disk.reserveBytes).toBe(0)
    fs.capacity = 10 * MIB
    await expect.poll(async () => (await db.stats()).disk.reserveBytes, { timeout: 5_000 }).toBe(MIB)
    fs.capacity = 2 * MIB
    await expect.poll(async () => (await db.stats()).state, { timeout: 5_000 }).toBe('full')
    fs.capacity = 100 * MIB
    await expect.poll(async () => (await db.stats()).state, { timeout: 5_000 }).toBe('open')
    await docs.upsert([row(1)])
    await db.close()
    expect(fs.list('/db').filter(name => name.startsWith('tmp-'))).toEqual([])
  })
})

describe('a disk that refuses bytes', () => {
  it.each([1, 2, 3, 4, 5])(
    'loses nothing, at whatever size it is full, and goes on when there is room (%i)',
    async size => {
      const fs = new SimFs({ capacity: MIB + size * 150_000 })
      const db = await open(fs, { minFreeBytes: 0 })
      const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 512 })
      const written: number[] = []
      let refusals = 0
      const codes = new Set<string>()
      const writing: Promise<void>[] = []
      for (let id = 0; id < 12_000 && refusals === 0; id += 50) {
        const ids = Array.from({ length: 50 }, (_, i) => id + i)
        writing.push(
          docs.upsert(ids.map(row)).then(
            () => void written.push(...ids),
            error => {
              codes.add(error.code)
              refusals++
            },
          ),
        )
        await new Promise(resolve => setImmediate(resolve))
      }
      expect([...codes]).toEqual(['DRIFT_DISK_FULL'])
      expect((await db.stats()).state).toBe('full')
      expect(await docs.get(written[0]!)).toBeDefined()
      // What is written beside may make room again: of what is acknowledged later the cut knows nothing.
      const acknowledged = [...written]
      const inFlight = new Set(await idsIn(fs.powerCut({ data: 'none', entries: 'none' })))
      expect(acknowledged.filter(id => !inFlight.has(id))).toEqual([])

      fs.capacity = Number.POSITIVE_INFINITY
      await Promise.all(writing) // what waited for room comes through, without another call
      await untilRoom(() => docs.upsert([row(1_000_000)]))
      await docs.flush()
      expect(await docs.count()).toBe(written.length + 1)
      // What tends to the files beside flushes is tried again after one.
      await expect.poll(async () => (await db.stats()).lastError, { timeout: 20_000 }).toBeUndefined()
      await db.close()
      expect((await idsIn(fs)).sort()).toEqual([...written, 1_000_000].sort())
    },
  )

  it.each([0, 1, 2, 3, 4, 5, 6, 7])(
    'leaves a collection as the log says when its commit finds no room, whatever was committed before (%i)',
    async turns => {
      const disk: SimFs = new SimFs({
        before(operation, path) {
          if (operation === 'rename' && path.includes('manifest-') && isNext) disk.capacity = 0
        },
      })
      let isNext = false
      const db = await open(disk, { minFreeBytes: 0 })
      await db.collection('old', { dim: 1 })
      isNext = true
      const calls: Promise<unknown>[] = [db.collection('first', { dim: 1 })]
      // Logged, but not yet durable, when the state is taken that is committed last.
      for (let turn = 0; turn < turns; turn++) await undefined
      calls.push(db.collection('new', { dim: 1 }), db.drop('old'))
      await Promise.allSettled(calls)
      expect(db.collections()).toEqual(['first', 'new'])
      const again = await open(disk.processKill(), { minFreeBytes: 0 })
      expect(again.collections()).toEqual(['first', 'new'])
      await again.close()
    },
  )

  it('does not fail a flush for one that began before, when the disk was still full', async () => {
    const disk = new SimFs()
    const fs = new ShortOnce(disk, 'ENOSPC')
    const db = await open(fs, { minFreeBytes: 0 })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
    await docs.upsert([row(1)])
    fs.short = true
    let second: Promise<void> | undefined
    fs.onRefusal = refusals => {
      if (refusals < 2) return // the first is tried again in the room of the reserve
      fs.short = false
      second = docs.flush()
    }
    await expect(docs.flush()).rejects.toMatchObject({ code: 'DRIFT_FS_ENOSPC' })
    await second
    expect(await docs.stats()).toMatchObject({ unflushedRows: 0, segments: 1 })
    await db.close()
    expect(await idsIn(disk)).toEqual([1])
  })

  it.each([
    ['an update by id', (docs: Collection) => docs.updatePayload([1], { n: 2 })],
    ['an update by filter', (docs: Collection) => docs.updatePayload({ filter: { n: 1 } }, { n: 2 })],
    ['a delete by filter', (docs: Collection) => docs.delete({ filter: { n: 1 } })],
  ])(
    'refuses %s that waits for a write without room, and what was called for behind it',
    async (_, change) => {
      const fs = new SimFs()
      const db = await open(fs, { minFreeBytes: 0 })
      const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
      await docs.upsert([row(1)])
      fs.capacity = 0
      const rows = Array.from({ length: 2_000 }, (_, id) => ({ ...row(id), payload: { n: 1 } }))
      const stalled = docs.upsert(rows)
      const refused = expect.objectContaining({
        status: 'rejected',
        reason: expect.objectContaining({ code: 'DRIFT_DISK_FULL' }),
      })
      expect(await Promise.allSettled([change(docs), docs.upsert([row(2)])])).toEqual([refused, refused])
      fs.capacity = Number.POSITIVE_INFINITY
      await stalled
      expect(await docs.count({ filter: { n: 1 } })).toBe(rows.length)
      await db.close()
    },
  )

  it('closes without waiting for room, and what was acknowledged is there afterwards', async () => {
    const fs = new SimFs({ capacity: 1_200_000 })
    const db = await open(fs, { minFreeBytes: 0 })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
    const outcomes: Promise<unknown>[] = []
    for (let id = 0; id < 6_000; id += 500)
      outcomes.push(docs.upsert(Array.from({ length: 500 }, (_, i) => row(id + i))))
    const settled = Promise.allSettled(outcomes)
    await expect.poll(async () => (await db.stats()).state, { timeout: 5_000 }).toBe('full')
    await db.close()
    const results = await settled
    const refused = results.filter(result => result.status === 'rejected')
    expect(refused.length).toBeGreaterThan(0)
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'DRIFT_DISK_FULL' })
    fs.capacity = Number.POSITIVE_INFINITY
    // Written is there, refused is not: nothing of a refused batch may come back.
    const there = new Set(await idsIn(fs))
    for (const [i, { status }] of results.entries())
      for (const id of [500 * i, 500 * i + 499]) expect(there.has(id)).toBe(status === 'fulfilled')
  })

  it.each(['EDQUOT', 'EMFILE', 'EFBIG'])(
    'takes %s for a shortage that ends: the next files are made when it has',
    async errno => {
      const disk = new SimFs()
      const fs = new ShortOnce(disk, errno)
      const db = await open(fs, { minFreeBytes: 0 })
      const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 256 })
      let id = 0
      await untilFull(db, async () => {
        fs.short ||= id > 100
        await docs.upsert([row(id++)])
      })
      fs.short = false
      await untilRoom(() => docs.upsert([row(id)]))
      await docs.flush()
      const count = await docs.count()
      await db.close()
      expect(await idsIn(disk)).toHaveLength(count)
    },
  )
})

describe('a process that the system refuses bytes (ulimit -f)', () => {
  it('goes on reading, resumes when the limit is lifted, and has every acknowledged row', {
    timeout: 60_000,
  }, async () => {
    const path = temporaryFolder()
    const child = spawn(
      'bash',
      ['-c', `ulimit -S -f 300; exec "$0" "$@"`, process.execPath, FULL_WRITER, path],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    )
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const next = async (): Promise<string> => (await lines.next()).value as string
    const refused = await next()
    expect(refused).toMatch(/^refused DRIFT_DISK_FULL after \d+, read ok$/)
    expect(spawnSync('prlimit', ['--pid', String(child.pid), '--fsize=unlimited:']).status).toBe(0)
    expect(await next()).toMatch(/^resumed$/)
    const last = Number((await next()).replace('acknowledged ', ''))
    child.kill('SIGKILL')
    await once(child, 'exit')
    await using db = await Drift.open(path, SMALL)
    const docs = await db.collection('docs')
    expect(last).toBeGreaterThan(Number(/\d+/.exec(refused)![0]))
    for (let id = 0; id <= last; id++)
      if (!(await docs.get(id))) throw new Error(`row ${id} of ${last} is lost`)
  })
})

const FULL_WRITER = fileURLToPath(new URL('./full-writer.mjs', import.meta.url))

/** While `short`, no file can be made. */
/** Cannot be asked for its room, nor rid of the reserve. */
class BlindFs extends FaultFs {
  isBlind = false
  onAsked: () => void = () => {}

  override freeBytes(folder: string): number {
    if (!this.isBlind) return super.freeBytes(folder)
    this.onAsked()
    throw new FsError('DRIFT_FS_EIO', 'no answer', { operation: 'freeBytes', path: folder })
  }

  override remove(path: string): void {
    if (this.isBlind && path.includes('reserve'))
      throw new FsError('DRIFT_FS_EIO', 'not removed', { operation: 'remove', path })
    super.remove(path)
  }
}

it('a disk that cannot be asked for its room any more is asked again, and nothing else fails for that', async () => {
  const sim = new SimFs({ capacity: 10 * MIB })
  const fs = new BlindFs(sim, [])
  const db = await Drift.open('/db', { ...SMALL, fs, minFreeBytes: 4 * MIB })
  const docs = await db.collection('docs', { dim: DIM })
  await docs.upsert([row(1)])
  await expect.poll(async () => (await db.stats()).disk.reserveBytes, { timeout: 5_000 }).toBe(MIB)
  sim.capacity = 2 * MIB
  await expect.poll(async () => (await db.stats()).state, { timeout: 5_000 }).toBe('full')
  const asked = new Promise<void>(resolve => {
    fs.onAsked = resolve
  })
  fs.isBlind = true
  await asked
  expect(await docs.count()).toBe(1)
  fs.isBlind = false
  sim.capacity = 100 * MIB
  await expect.poll(async () => (await db.stats()).state, { timeout: 5_000 }).toBe('open')
  await docs.upsert([row(2)])
  fs.isBlind = true
  await db.close()
  expect(await idsIn(sim)).toEqual([1, 2])
})

class ShortOnce extends FaultFs {
  short = false
  onRefusal: (refusals: number) => void = () => undefined
  #refusals = 0
  readonly #errno: string

  constructor(inner: SimFs, errno: string) {
    super(inner, [])
    this.#errno = errno
  }

  override open(path: string, mode: 'read' | 'write' | 'create'): number {
    if (this.short && mode === 'create') {
      this.onRefusal(++this.#refusals)
      return new FaultFs(new SimFs(), [{ at: 1, errno: this.#errno }]).open(path, mode)
    }
    return super.open(path, mode)
  }
}

function open(fs: OpenOptions['fs'] & object, options: OpenOptions): Promise<Drift> {
  return Drift.open('/db', { ...SMALL, fs, ...options })
}

function row(id: number): { id: number; vector: Float32Array } {
  return { id, vector: Float32Array.from({ length: DIM }, (_, i) => id + i) }
}

async function untilFull(db: Drift, write: () => Promise<unknown>): Promise<void> {
  let error: unknown
  await expect
    .poll(
      async () => {
        // A write that waits for room does not come back: the state tells.
        void write().catch(cause => {
          error = cause
        })
        await new Promise(resolve => setImmediate(resolve))
        return (await db.stats()).state
      },
      { timeout: 10_000, interval: 5 },
    )
    .toBe('full')
  if (error) expect(error).toMatchObject({ code: 'DRIFT_DISK_FULL' })
}

async function untilRoom(write: () => Promise<unknown>): Promise<void> {
  await expect
    .poll(
      () =>
        write().then(
          () => 'written',
          error => error.code,
        ),
      { timeout: 10_000, interval: 20 },
    )
    .toBe('written')
}

async function idsIn(disk: SimFs): Promise<unknown[]> {
  const db = await Drift.open('/db', { ...SMALL, fs: disk, minFreeBytes: 0 })
  const ids: unknown[] = []
  for (const name of db.collections())
    for await (const { id } of (await db.collection(name)).scan()) ids.push(id)
  await db.close()
  return ids
}
