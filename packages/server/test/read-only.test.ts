// A read-only database takes no lock, writes nothing, refuses every write by code, and holds what the writer had made durable at some
// moment of the opening, also while the writer flushes and removes files under it, here or in another process.
import { spawn } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { Drift } from '../src/index.js'
import { churn, contents, DIM, fill, SMALL, withDatabase } from './churn.js'
import { temporaryFolder } from './fixture.js'

describe('a read-only database', () => {
  it('holds what the writer has acknowledged, and opens beside it as often as wanted', async () => {
    const path = temporaryFolder()
    await withDatabase(path, {}, async db => {
      const docs = await fill(db)
      const wanted = await contents(docs)
      const readers = await Promise.all([1, 2, 3].map(() => Drift.open(path, { readOnly: true, threads: 0 })))
      await churn(docs, 9)
      for (const reader of readers) {
        const seen = await reader.collection('docs')
        expect(await contents(seen)).toEqual(wanted)
        expect(await reader.stats()).toMatchObject({ state: 'read-only' })
        await reader.close()
      }
      const query = new Float32Array(DIM).fill(0.1)
      const later = await Drift.open(path, { readOnly: true })
      const seen = await later.collection('docs', { dim: DIM, metric: 'l2' })
      const [mine, theirs] = await Promise.all([
        seen.search(query, { k: 10, probes: 1000, payload: true }),
        docs.search(query, { k: 10, probes: 1000, payload: true }),
      ])
      expect(mine).toEqual(theirs)
      await later.close()
    })
  })

  it('tells the files of the log that lie in the folder', async () => {
    const path = temporaryFolder()
    await withDatabase(path, {}, fill)
    const logs = readdirSync(path).filter(name => /^wal-\d+\.drw$/.test(name))
    const bytes = logs.reduce((sum, name) => sum + statSync(join(path, name)).size, 0)
    expect(bytes).toBeGreaterThan(0)
    const reader = await Drift.open(path, { readOnly: true, threads: 0 })
    expect((await reader.stats()).wal).toMatchObject({ files: logs.length, bytes, pendingBytes: 0 })
    await reader.close()
  })

  it('refuses every write by code and changes nothing', async () => {
    const path = temporaryFolder()
    await withDatabase(path, {}, fill)
    const db = await Drift.open(path, { readOnly: true })
    const docs = await db.collection('docs')
    const wanted = await contents(docs)
    const writes = [
      () => docs.upsert([{ id: 1, vector: new Float32Array(DIM) }]),
      () => docs.delete([3]),
      () => docs.flush(),
      () => docs.maintain(),
      () => db.collection('another', { dim: 3 }),
      () => db.drop('docs'),
      () => db.sync(),
    ]
    for (const write of writes) await expect(write()).rejects.toMatchObject({ code: 'DRIFT_READ_ONLY' })
    await expect(db.collection('another')).rejects.toMatchObject({ code: 'DRIFT_NO_COLLECTION' })
    expect(await contents(docs)).toEqual(wanted)
    expect(await db.check()).toMatchObject({ ok: true, findings: [] })
    await db.close()
    await withDatabase(path, {}, async again => {
      expect(await contents(await again.collection('docs'))).toEqual(wanted)
    })
  })

  it('reads the disk and does nothing else to it, also after a crash', async () => {
    const disk = new SimFs()
    const db = await Drift.open('/db', { ...SMALL, fs: disk })
    const wanted = await contents(await fill(db))
    const operations: string[] = []
    const crashed = disk.powerCut(
      { data: 'random', seed: 3 },
      { before: operation => operations.push(operation) },
    )
    await withDatabase('/db', { fs: crashed, readOnly: true }, async reader => {
      const docs = await reader.collection('docs')
      expect(await contents(docs)).toEqual(wanted)
      await docs.search(new Float32Array(DIM), { payload: true })
      await reader.check()
    })
    expect([...new Set(operations)].sort()).toEqual(['close', 'freeBytes', 'list', 'open', 'read', 'stat'])
    await db.close()
  })

  it('says when there is no database', async () => {
    const path = temporaryFolder()
    for (const folder of [path, `${path}/none`])
      await expect(Drift.open(folder, { readOnly: true })).rejects.toMatchObject({
        code: 'DRIFT_NO_DATABASE',
      })
    await expect(Drift.open(':memory:', { readOnly: true })).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
    await expect(Drift.open(path, { readOnly: 1 as never })).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
  })

  it('is a prefix of a history that another process is writing, whatever that removes meanwhile', async () => {
    const path = temporaryFolder()
    const writer = spawn(
      process.execPath,
      [fileURLToPath(new URL('./read-only-writer.mjs', import.meta.url)), path],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    )
    try {
      const lines = createInterface({ input: writer.stdout })
      let acknowledged = 0
      const started = new Promise<void>(resolve => {
        lines.on('line', line => {
          acknowledged = Number(line)
          if (acknowledged >= 20) resolve()
        })
      })
      await started
      const seen: number[] = []
      for (let round = 0; round < 25; round++) {
        const before = acknowledged
        const db = await Drift.open(path, { readOnly: true, threads: 0 })
        const docs = await db.collection('docs')
        const batches = new Map<number, number>()
        for await (const { payload } of docs.scan()) {
          const { batch } = payload as { batch: number }
          batches.set(batch, (batches.get(batch) ?? 0) + 1)
        }
        // Batch b replaced the rows of batch b - 10: the last ten are there, whole.
        const newest = Math.max(...batches.keys())
        expect(newest).toBeGreaterThanOrEqual(before)
        expect([...batches.entries()].sort(([a], [b]) => a - b)).toEqual(
          Array.from({ length: 10 }, (_, i) => [newest - 9 + i, 20]),
        )
        if (round % 5 === 0) expect((await db.check()).findings).toEqual([])
        seen.push(newest)
        await db.close()
      }
      expect(seen.at(-1)).toBeGreaterThan(seen[0]!)
    } finally {
      writer.kill('SIGKILL')
    }
  })
})
