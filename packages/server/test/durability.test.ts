// What survives: closing, killing, damage to what is derived, a damaged newest manifest; and what is refused instead of
// being silently different. Real files where the process or the bytes matter, a simulated disk where errors do.
import { spawn } from 'node:child_process'
import { getEventListeners } from 'node:events'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { FaultFs, SimFs } from '@drift/fs'
import { describe, expect, it, vi } from 'vitest'
import { type Collection, Drift } from '../src/index.js'
import { contents } from './churn.js'
import { clusteredVectors, cutBefore, randomNumbers, temporaryFolder } from './fixture.js'

const DIM = 8
/** Small files: a log file is filled with zeros before it is used. */
const SMALL = { walFileBytes: 256 * 1024 } as const

describe('a database on disk', () => {
  it('comes back as it was closed: rows, payloads, deletions, from log and segments', async () => {
    const path = temporaryFolder()
    const before = await fill(path)
    await using db = await Drift.open(path, SMALL)
    expect(await everything(await db.collection('docs'))).toEqual(before)
  })

  it('answers the same after every derived file is gone or damaged', async () => {
    const path = temporaryFolder()
    await fill(path)
    const query = clusteredVectors(1, DIM, 3)
    const answers = await ask(path, query)
    const derived = files(path, /^idx-/)
    expect(derived.length).toBeGreaterThan(0)
    for (const name of derived) {
      const bytes = readFileSync(join(path, name))
      bytes[bytes.length >> 1]! ^= 0x10
      writeFileSync(join(path, name), bytes)
    }
    expect(await ask(path, query)).toEqual(answers)
    for (const name of files(path, /^idx-/)) rmSync(join(path, name))
    expect(await ask(path, query)).toEqual(answers)
  })

  it('opens from the manifest before when the newest is damaged, and keeps the damaged one aside', async () => {
    const path = temporaryFolder()
    const before = await fill(path)
    const newest = files(path, /^manifest-/).at(-1)!
    const bytes = readFileSync(join(path, newest))
    bytes[40]! ^= 1
    writeFileSync(join(path, newest), bytes)
    const db = await Drift.open(path, SMALL)
    expect(await everything(await db.collection('docs'))).toEqual(before)
    await db.close()
    expect(readdirSync(join(path, 'quarantine'))).toEqual([newest])
    await using again = await Drift.open(path, SMALL)
    expect(await everything(await again.collection('docs'))).toEqual(before)
  })

  it.each([/^seg-/, /^del-/, /^wal-/])(
    'refuses to open, and changes nothing, when a byte of %s is wrong',
    async pattern => {
      const path = temporaryFolder()
      await fill(path)
      const name = files(path, pattern)[0]!
      const bytes = readFileSync(join(path, name))
      // Inside the first page of content, behind the headers.
      bytes[4096 + 100]! ^= 4
      if (bytes.length < 4096) bytes[100]! ^= 4
      writeFileSync(join(path, name), bytes)
      const files_ = snapshot(path)
      await expect(Drift.open(path, SMALL)).rejects.toMatchObject({
        code: expect.stringMatching(/^DRIFT_(CORRUPT|WAL_CORRUPT)/),
      })
      expect(snapshot(path)).toEqual(files_)
    },
  )

  it('refuses to open when a file that the manifest names is gone', async () => {
    const path = temporaryFolder()
    await fill(path)
    rmSync(join(path, files(path, /^seg-/)[0]!))
    await expect(Drift.open(path, SMALL)).rejects.toMatchObject({ code: expect.stringMatching(/^DRIFT_/) })
  })

  it('cuts the log when its rows are in segments, and not before', async () => {
    const path = temporaryFolder()
    const db = await Drift.open(path, { walFileBytes: 64 * 1024 })
    const docs = await db.collection('docs', { dim: DIM, memtableRows: 1024 })
    const vectors = clusteredVectors(512, DIM, 9)
    for (let round = 0; round < 12; round++) {
      await docs.upsert({ ids: Array.from({ length: 512 }, (_, i) => round * 512 + i), vectors })
    }
    await docs.flush()
    // Two manifests later nothing but the active file is needed.
    await docs.upsert([{ id: 'x', vector: vectors.subarray(0, DIM) }])
    await docs.flush()
    await docs.upsert([{ id: 'y', vector: vectors.subarray(0, DIM) }])
    await docs.flush()
    const { wal } = await db.stats()
    expect(wal.bytes).toBeLessThanOrEqual(4 * 64 * 1024)
    await db.close()
    await using again = await Drift.open(path, SMALL)
    expect(await (await again.collection('docs')).count()).toBe(12 * 512 + 2)
  })

  it('leaves no files behind but those that are needed', async () => {
    const path = temporaryFolder()
    const db = await Drift.open(path, SMALL)
    const docs = await db.collection('docs', { dim: DIM, memtableRows: 64 })
    for (let i = 0; i < 5; i++) {
      await docs.upsert({
        ids: Array.from({ length: 64 }, (_, j) => i * 64 + j),
        vectors: clusteredVectors(64, DIM, i),
      })
      await docs.flush()
    }
    await db.drop('docs')
    await db.collection('other', { dim: 1 })
    await db.collection('more', { dim: 1 })
    await db.close()
    expect(files(path, /^(seg|del|idx)-/)).toEqual([])
    expect(files(path, /^manifest-/)).toHaveLength(2)
    expect(files(path, /tmp/)).toEqual([])
  })

  it.each(['os', { intervalMs: 5 }] as const)('keeps what was synced by hand with sync %j', async sync => {
    const path = temporaryFolder()
    const db = await Drift.open(path, { ...SMALL, sync })
    const docs = await db.collection('docs', { dim: 1 })
    expect(await docs.upsert([{ id: 1, vector: [1] }])).toMatchObject({ durable: false })
    await db.sync()
    await db.close()
    await using again = await Drift.open(path, SMALL)
    expect(await (await again.collection('docs')).count()).toBe(1)
  })
})

describe('a process that is killed while it writes', () => {
  it('loses no row that it acknowledged and invents none', async () => {
    const path = temporaryFolder()
    const random = randomNumbers(11)
    let acknowledged = -1
    for (let round = 0; round < 6; round++) {
      acknowledged = await writeUntilKilled(path, acknowledged + 1, 1 + Math.floor(random() * 60))
      const db = await Drift.open(path, SMALL)
      const docs = await db.collection('docs')
      const found = new Set<number>()
      for await (const { id, vector, payload } of docs.scan()) {
        expect(vector).toEqual(Float32Array.from({ length: DIM }, (_, i) => (id as number) + i))
        expect(payload).toEqual({ n: id })
        found.add(id as number)
      }
      for (let id = 0; id <= acknowledged; id++)
        if (!found.has(id)) throw new Error(`row ${id} of ${acknowledged} is lost`)
      // The batch in flight may be there, whole: 20 rows, in order.
      expect(found.size % 20).toBe(0)
      expect(Math.max(...found)).toBe(found.size - 1)
      acknowledged = found.size - 1
      await db.close()
    }
    expect(acknowledged).toBeGreaterThan(100)
  })
})

describe('a disk that fails', () => {
  it('ends writing when a log sync fails, says that the outcome is unknown, and goes on reading', async () => {
    const sim = new SimFs()
    const fs = new FaultFs(sim, [{ at: 12, errno: 'EIO', operation: 'fdatasync' }])
    const db = await Drift.open('/db', { ...SMALL, fs, threads: 0 })
    const docs = await db.collection('docs', { dim: 1 })
    let written = 0
    let failure: unknown
    for (; written < 50 && !failure; written++) {
      failure = await docs.upsert([{ id: written, vector: [1] }]).then(
        () => undefined,
        error => error,
      )
    }
    expect(failure).toMatchObject({ code: 'DRIFT_WAL_FAILED' })
    await expect(docs.upsert([{ id: 'more', vector: [1] }])).rejects.toMatchObject({
      code: 'DRIFT_WAL_FAILED',
    })
    expect(await docs.count()).toBe(written - 1)
    expect((await db.stats()).state).toBe('failed')
    await db.close()
    const again = await Drift.open('/db', { ...SMALL, fs: sim, threads: 0 })
    expect(await (await again.collection('docs')).count()).toBeGreaterThanOrEqual(written - 1)
    await again.close()
  })

  it('ends writing soon after its folder was removed, without waiting for a flush', async () => {
    const path = temporaryFolder()
    const db = await Drift.open(path, { ...SMALL, threads: 0, maintenance: 'manual' })
    const docs = await db.collection('docs', { dim: 1 })
    // The log makes files in it meanwhile.
    rmSync(path, { recursive: true, maxRetries: 20, retryDelay: 5 })
    await docs.upsert([{ id: 1, vector: [1] }])
    await vi.waitFor(async () => expect((await db.stats()).state).toBe('failed'), 20_000)
    await expect(docs.upsert([{ id: 2, vector: [1] }])).rejects.toMatchObject({
      code: 'DRIFT_WAL_FAILED',
      message: expect.stringContaining('removed'),
    })
    expect(await docs.count()).toBe(1)
    await db.close()
  })

  it('gives a coded error and stays sound whichever operation fails', async () => {
    const faultless = new FaultFs(new SimFs(), [])
    await workThrough(faultless, new Set())
    const operations = faultless.operationCount
    let met = 0
    // Every 7th operation, and each of the first and last ones.
    for (let at = 1; at <= operations; at += at < 20 || at > operations - 20 ? 1 : 7) {
      const sim = new SimFs()
      const acknowledged = new Set<number>()
      const fs = new FaultFs(sim, [{ at, errno: at % 2 ? 'EIO' : 'ENOSPC' }])
      await workThrough(fs, acknowledged).catch(error => {
        expect(error, `operation ${at} of ${operations}`).toMatchObject({
          code: expect.stringMatching(/^DRIFT_/),
        })
        met++
      })
      const db = await Drift.open('/db', {
        fs: sim.powerCut({ data: 'none', entries: 'none' }),
        threads: 0,
        ...SMALL,
      })
      if (acknowledged.size > 0) {
        const docs = await db.collection('docs')
        for (const id of acknowledged) expect(await docs.get(id), `row ${id}, operation ${at}`).toBeDefined()
      }
      await db.close()
    }
    expect(met).toBeGreaterThan(30)
  })

  it('makes writers wait while a flush is behind, and tells them when it cannot be done', async () => {
    const sim = new SimFs()
    // Segments are the only files under these names that are created after the log's.
    const fs = new FailingSegments(sim)
    const db = await Drift.open('/db', { ...SMALL, fs, threads: 0 })
    const docs = await db.collection('docs', { dim: 1, memtableRows: 4 })
    const writes = Array.from({ length: 40 }, (_, i) => docs.upsert([{ id: i, vector: [1] }]))
    const outcomes = await Promise.allSettled(writes)
    const refused = outcomes.filter(outcome => outcome.status === 'rejected')
    expect(refused.length).toBeGreaterThan(0)
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'DRIFT_FLUSH_FAILED' })
    expect(await docs.count()).toBe(40 - refused.length)
    expect((await db.stats()).lastError).toContain('EIO')
    await db.close()
    const again = await Drift.open('/db', { ...SMALL, fs: sim, threads: 0 })
    expect(await (await again.collection('docs')).count()).toBe(40 - refused.length)
    await again.close()
  })

  it('lets go of writes that wait for room when their signal is aborted, and only of those', async () => {
    const db = await Drift.open('/db', { ...SMALL, fs: new SimFs(), threads: 0 })
    const docs = await db.collection('docs', { dim: 1, metric: 'l2', memtableRows: 4 })
    const controller = new AbortController()
    const { signal } = controller
    const writes = Array.from({ length: 40 }, (_, i) => docs.upsert([{ id: i, vector: [i] }], { signal }))
    // Node warns of a leak at eleven.
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    controller.abort(new Error('changed my mind'))
    const outcomes = await Promise.allSettled(writes)
    const refused = outcomes.filter(outcome => outcome.status === 'rejected')
    expect(refused.length).toBeGreaterThan(0)
    expect(refused.length).toBeLessThan(40)
    for (const { reason } of refused) expect(reason).toMatchObject({ message: 'changed my mind' })
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    for (const [i, { status }] of outcomes.entries())
      expect((await docs.get(i)) !== undefined).toBe(status === 'fulfilled')
    await docs.upsert([{ id: 'more', vector: [1] }])
    expect(await docs.count()).toBe(41 - refused.length)
    await db.close()
  })
})

/** No segment can be created. */
class FailingSegments extends FaultFs {
  constructor(inner: SimFs) {
    super(inner, [])
  }

  override open(path: string, mode: 'read' | 'write' | 'create'): number {
    if (mode === 'create' && path.includes('seg-'))
      return new FaultFs(new SimFs(), [{ at: 1, errno: 'EIO' }]).open(path, mode)
    return super.open(path, mode)
  }
}

async function workThrough(fs: FaultFs, acknowledged: Set<number>): Promise<void> {
  const db = await Drift.open('/db', { fs, threads: 0, walFileBytes: 64 * 1024 })
  try {
    const docs = await db.collection('docs', { dim: 1, metric: 'l2', memtableRows: 8 })
    for (let i = 0; i < 30; i++) {
      await docs.upsert([{ id: i, vector: [i] }])
      acknowledged.add(i)
      if (i % 10 === 9) await docs.flush()
    }
  } finally {
    await db.close()
  }
}

/** Rows in segments and in the log, replaced and deleted ones in both. */
async function fill(path: string): Promise<Map<unknown, unknown>> {
  const db = await Drift.open(path, SMALL)
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 256 })
  const vectors = clusteredVectors(700, DIM, 1)
  for (let at = 0; at < 700; at += 100) {
    const rows = Array.from({ length: 100 }, (_, i) => ({
      id: `row ${at + i}`,
      vector: vectors.subarray((at + i) * DIM, (at + i + 1) * DIM),
      ...(i % 2 ? { payload: { at, i } } : {}),
    }))
    await docs.upsert(rows)
  }
  await docs.flush()
  await docs.delete(['row 1', 'row 300', 'row 699'])
  await docs.upsert([{ id: 'row 2', vector: vectors.subarray(0, DIM), payload: { replaced: true } }])
  await docs.flush()
  await docs.delete(['row 5'])
  await docs.upsert([{ id: 'row 1', vector: vectors.subarray(DIM, 2 * DIM) }])
  const before = await everything(docs)
  expect(before.size).toBe(697)
  await db.close()
  return before
}

async function everything(docs: Collection): Promise<Map<unknown, unknown>> {
  const rows = new Map<unknown, unknown>()
  for await (const { id, vector, payload } of docs.scan()) rows.set(id, { vector: [...vector], payload })
  return rows
}

async function ask(path: string, query: Float32Array): Promise<unknown> {
  await using db = await Drift.open(path, SMALL)
  return await (await db.collection('docs')).search(query, { k: 20, probes: 1000, payload: true })
}

function files(path: string, pattern: RegExp): string[] {
  return readdirSync(path)
    .filter(name => pattern.test(name))
    .sort()
}

function snapshot(path: string): unknown {
  return readdirSync(path)
    .filter(name => statSync(join(path, name)).isFile())
    .map(name => [name, readFileSync(join(path, name)).toString('base64')])
}

/** Runs a writer of batches of 20 rows in a process of its own; kills it after some acknowledgements. @returns the last row acknowledged. */
function writeUntilKilled(path: string, from: number, acknowledgements: number): Promise<number> {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('./kill-writer.mjs', import.meta.url)), path, String(from)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  return new Promise((resolve, reject) => {
    let last = from - 1
    let seen = 0
    createInterface({ input: child.stdout }).on('line', line => {
      last = Number(line)
      if (++seen === acknowledgements) child.kill('SIGKILL')
    })
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      if (signal === 'SIGKILL') resolve(last)
      else reject(new Error(`the writer ended by itself with code ${code}`))
    })
  })
}

describe('a weaker sync mode', () => {
  it.each(['os', { intervalMs: 60_000 }] as const)(
    'leaves a database that opens, and a prefix of it, when the power fails after a manifest was committed (%j)',
    async sync => {
      const disk = new SimFs()
      const db = await Drift.open('/db', { fs: disk, threads: 0, walFileBytes: 64 * 1024, sync })
      const a = await db.collection('a', { dim: 2, metric: 'l2' })
      await a.upsert([{ id: 1, vector: [1, 1] }])
      const b = await db.collection('b', { dim: 2, metric: 'l2' })
      await b.upsert([{ id: 2, vector: [2, 2] }])
      await a.upsert([{ id: 3, vector: [3, 3] }])
      // Files of `a` must not be ahead of the log that holds what `b` was given before.
      await a.flush()
      await b.upsert([{ id: 4, vector: [4, 4] }])
      const after = await Drift.open('/db', {
        fs: disk.powerCut({ data: 'none', entries: 'none' }),
        threads: 0,
      })
      expect(await (await after.collection('a')).count()).toBe(2)
      expect(await (await after.collection('b')).get(2)).toBeDefined()
      const { lsn } = await (await after.collection('b')).upsert([{ id: 5, vector: [5, 5] }])
      expect(lsn).toBeGreaterThan(5)
      await after.close()
      await db.close()
    },
  )
})

describe('a database that is opened often and written seldom', () => {
  const DISK = { walFileBytes: 64 * 1024, threads: 0, maintenance: 'manual' } as const
  const logs = (disk: SimFs) => disk.list('/db').filter(name => name.startsWith('wal-'))
  const idsIn = async (disk: SimFs) => {
    const db = await Drift.open('/db', { ...DISK, fs: disk })
    const ids = (await contents(await db.collection('docs'))).keys()
    expect((await db.check()).findings.filter(({ severity }) => severity !== 'info')).toEqual([])
    await db.close()
    return [...ids]
  }
  const wanted = ['number 1', 'number 2']

  async function openedOften(times: number, isKilled = false): Promise<SimFs> {
    let disk = new SimFs()
    for (let n = 0; n < times; n++) {
      const db = await Drift.open('/db', { ...DISK, fs: disk })
      const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
      if (n < 2) await docs.upsert([{ id: n + 1, vector: [n, 1] }])
      if (isKilled) disk = disk.processKill()
      else await db.close()
    }
    return disk
  }

  it.each([
    ['closed', false],
    ['killed', true],
  ])('does not grow with each opening, when it is %s', async (_, isKilled) => {
    const disk = await openedOften(40, isKilled)
    expect(logs(disk).length).toBeLessThan(11)
    expect(await idsIn(disk)).toEqual(wanted)
    const db = await Drift.open('/db', { ...DISK, fs: disk })
    await (await db.collection('docs')).flush()
    await db.close()
    for (let n = 0; n < 3; n++) expect(await idsIn(disk)).toEqual(wanted)
    expect(logs(disk).length).toBeLessThan(3)
  })

  it('keeps every row when the power fails while its log is brought together', async () => {
    // The next opening finds one file too many.
    const whole = await openedOften(9)
    expect(logs(whole).length).toBe(9)
    let cuts = 0
    for (let at = 1; ; at++) {
      const { disk, left } = cutBefore(whole, at)
      const db = await Drift.open('/db', { ...DISK, fs: disk })
      expect(logs(disk).length).toBe(1)
      await db.close()
      const image = left()
      if (!image) break
      cuts++
      expect(await idsIn(image), `cut before operation ${at}`).toEqual(wanted)
    }
    expect(cuts).toBeGreaterThan(40)
  })
})
