/** Proves that memory is compared with the files: one row that only memory or only the files have is found. */
import { SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { Drift } from '../drift.js'
import { inlineExecutor } from '../persistence/executor.js'
import { recover } from '../recovery.js'
import { checkEngine } from './check.js'

describe('the index', () => {
  it.each([
    ['lost a row', (store: { delete(ids: string[]): number }) => store.delete(['row-3'])],
    [
      'gained a row',
      (store: { upsert(ids: string[], vectors: Float32Array): number }) =>
        store.upsert(['extra'], Float32Array.of(1, 2)),
    ],
  ])('that has %s is found', async (_, spoil) => {
    const fs = new SimFs()
    const db = await Drift.open('/db', { fs, threads: 0, walFileBytes: 65_536 })
    const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
    await docs.upsert({
      ids: Array.from({ length: 40 }, (_, i) => `row-${i}`),
      vectors: Float32Array.from({ length: 80 }, (_, i) => i),
    })
    await docs.flush()
    await docs.delete(['row-7'])
    await db.close()
    let nonce = 1n
    const engine = await recover(
      {
        fs,
        folder: '/db',
        executor: inlineExecutor(fs),
        pool: undefined,
        threaded: false,
        durable: true,
        newDatabaseId: () => new Uint8Array(16),
        nonce: () => nonce++,
        now: () => 0,
      },
      { walFileBytes: 65_536 },
    )
    expect(await checkEngine(engine, {})).toMatchObject({ ok: true, findings: [] })
    spoil(engine.stores.get(1)!.index as never)
    const { ok, findings } = await checkEngine(engine, {})
    expect(ok).toBe(false)
    expect(findings).toMatchObject([{ kind: 'index', file: 'docs' }])
    await engine.janitor.stop()
    await engine.journal.writer.close()
  })
})
