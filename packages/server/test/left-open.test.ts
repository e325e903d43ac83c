// Proves: an iteration that is left in the middle, without `return`, keeps no file open beyond the database, and no rows beyond itself;
// and an opening that comes to nothing keeps no file open either.
import { readdirSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { type Collection, Drift } from '../src/index.js'
import { fill, SMALL, withDatabase } from './churn.js'
import { filesOpenIn, temporaryFolder } from './fixture.js'

const ROWS = 1_000

const write = (docs: Collection, first: number) =>
  docs.upsert({
    ids: Array.from({ length: ROWS }, (_, i) => first + i),
    vectors: Float32Array.from({ length: 2 * ROWS }, (_, i) => i + first),
    payloads: Array.from({ length: ROWS }, () => ({ kind: 'a' })),
  })

describe('an iteration that is left in the middle', () => {
  it.runIf(process.platform === 'linux')('leaves no file open when the database is closed', async () => {
    const folder = temporaryFolder()
    const db = await Drift.open(folder, { minFreeBytes: 0, maintenance: 'manual' })
    const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
    for (const first of [0, ROWS]) {
      await write(docs, first)
      await docs.flush()
    }
    const scan = docs.scan()
    await scan.next()
    await docs.compact()
    await db.close()
    expect(filesOpenIn(folder)).toEqual([])
    await expect(scan.next()).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
  })

  it.each<[string, (docs: Collection) => AsyncGenerator<unknown>]>([
    ['scan', docs => docs.scan()],
    ['toArrow', docs => docs.toArrow()],
  ])('by %s keeps no rows once nobody can go on with it', async (_, begin) => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const db = await Drift.open(':memory:')
    const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
    await write(docs, 0)
    await (async () => void (await begin(docs).next()))()
    // Rows of deleted ids are taken again, unless somebody still reads them. Until then each round takes new ones.
    const bytes = async () => (await docs.stats()).memory['codes']!
    let grew = true
    for (let round = 0; round < 50 && grew; round++) {
      await new Promise(resolve => setImmediate(resolve))
      collect()
      await new Promise(resolve => setImmediate(resolve))
      const before = await bytes()
      await write(docs, 0)
      await docs.flush()
      await write(docs, 0)
      await docs.flush()
      grew = (await bytes()) > before
    }
    expect(grew).toBe(false)
    await db.close()
  })
})

it.runIf(process.platform === 'linux')(
  'an opening that is cut off or refused leaves no file open',
  async () => {
    const path = join(temporaryFolder(), 'db')
    await withDatabase(path, { maintenance: 'off' }, db => fill(db))
    const controller = new AbortController()
    const aborted = Drift.open(path, {
      ...SMALL,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    })
    await expect(aborted).rejects.toThrow('enough')
    expect(filesOpenIn(path)).toEqual([])
    const last = readdirSync(path)
      .filter(name => name.startsWith('seg-'))
      .at(-1)!
    truncateSync(join(path, last), 1000)
    await expect(Drift.open(path, SMALL)).rejects.toMatchObject({
      code: expect.stringMatching(/^DRIFT_CORRUPT_/),
    })
    expect(filesOpenIn(path)).toEqual([])
  },
)
