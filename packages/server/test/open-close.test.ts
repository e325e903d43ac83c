// Proves: a process that opens and closes databases again and again keeps nothing of them, neither files nor threads; and where a thread cannot
// start, who waits for it is told. Built code in a process of its own, whose descriptors nobody else has.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { Drift } from '../src/index.js'
import { filesOpenIn, randomNumbers, temporaryFolder } from './fixture.js'

const DIM = 32

it.runIf(process.platform === 'linux')(
  'databases that are closed as soon as they are open leave no file and no thread',
  () => {
    const program = `
    const { readdirSync, readlinkSync } = await import('node:fs')
    const { Drift } = await import('${new URL('../dist/index.js', import.meta.url).href}')
    const target = fd => { try { return readlinkSync('/proc/self/fd/' + fd) } catch { return '' } }
    const held = () => ({
      files: readdirSync('/proc/self/fd').map(target).filter(path => path.startsWith('/') && !path.startsWith('/dev/')),
      threads: readdirSync('/proc/self/task').length,
    })
    const before = held()
    for (let i = 0; i < 6; i++) await (await Drift.open(${JSON.stringify(temporaryFolder())}, { threads: 4 })).close()
    const after = held()
    process.stdout.write(JSON.stringify({ before, after }))`
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 120_000 })
    const { before, after } = JSON.parse(String(out))
    expect(after).toEqual(before)
  },
)

it('databases that are opened one after the other have the memory of one log between them', () => {
  const program = `
    const { Drift } = await import('${new URL('../dist/index.js', import.meta.url).href}')
    const path = ${JSON.stringify(temporaryFolder())}
    const used = []
    for (let i = 0; i < 8; i++) {
      await (await Drift.open(path, { threads: 0, walFileBytes: 65_536 })).close()
      used.push(process.memoryUsage().arrayBuffers)
    }
    process.stdout.write(JSON.stringify(used))`
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 120_000 })
  const [first, ...later] = JSON.parse(String(out)) as [number, ...number[]]
  // 16 MiB each, were they not the same.
  expect(Math.max(...later) - first).toBeLessThan(40 * 2 ** 20)
})

it.runIf(process.platform === 'linux')(
  'collections that are made and dropped while the database closes are made and dropped, and leave no file open',
  async () => {
    const path = temporaryFolder()
    const db = await Drift.open(path, { threads: 0, maintenance: 'manual' })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
    const random = randomNumbers(5)
    for (let part = 0; part < 3; part++) {
      const vectors = Float32Array.from({ length: 5_000 * DIM }, random)
      await docs.upsert({ ids: Array.from({ length: 5_000 }, (_, i) => 4_000 * part + i), vectors })
      await docs.flush()
    }
    // What is dropped is in the middle of replacing its files.
    let ended = false
    const compacting = docs.compact().then(
      () => {
        ended = true
      },
      () => {
        ended = true
      },
    )
    while (!ended && !readdirSync(path).some(name => /^seg-.*tmp$/.test(name))) await setImmediate()
    const changes = Promise.allSettled([db.drop('docs'), db.collection('new', { dim: 3 })])
    await db.close()
    await compacting
    expect(await changes).toMatchObject([{ value: true }, { value: { name: 'new' } }])
    expect(filesOpenIn(path)).toEqual([])
    await using again = await Drift.open(path, { threads: 0 })
    expect(again.collections()).toEqual(['new'])
  },
)

it('a collection that is called for before the database closes is made, also behind a call that fails', async () => {
  const path = temporaryFolder()
  const db = await Drift.open(path, { threads: 0 })
  const calls = Promise.allSettled([db.collection('docs'), db.collection('docs', { dim: DIM })])
  await db.close()
  expect(await calls).toMatchObject([{ reason: { code: 'DRIFT_NO_COLLECTION' } }, { value: { dim: DIM } }])
  await expect(db.collection('docs')).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
  await using again = await Drift.open(path, { threads: 0 })
  expect(again.collections()).toEqual(['docs'])
})

/** What a bundler makes of the packages: without `missing`, a file that only a thread loads. */
function installedWithout(missing: string): string {
  const folder = temporaryFolder()
  const modules = join(folder, 'node_modules')
  const root = fileURLToPath(new URL('../../../node_modules', import.meta.url))
  mkdirSync(join(modules, '@drift'), { recursive: true })
  for (const name of readdirSync(root)) {
    if (name !== '@drift' && !name.startsWith('.')) symlinkSync(join(root, name), join(modules, name))
  }
  for (const name of readdirSync(join(root, '@drift'))) {
    const [from, to] = [join(root, '@drift', name), join(modules, '@drift', name)]
    if (!['core', 'server'].includes(name)) symlinkSync(from, to)
    else
      for (const part of ['package.json', 'dist'])
        cpSync(join(from, part), join(to, part), { recursive: true })
  }
  rmSync(join(modules, '@drift', missing))
  return folder
}

it.each([
  ['core/dist/wal/thread.js', 'DRIFT_THREAD'],
  ['core/dist/pool/worker.js', 'DRIFT_WORKER'],
  ['server/dist/persistence/thread.js', 'DRIFT_COMMIT_FAILED'],
])('without %s work that needs it is refused with %s, and nothing waits for ever', (missing, code) => {
  const folder = installedWithout(missing)
  const program = join(folder, 'program.mjs')
  writeFileSync(
    program,
    `import { Drift } from '@drift/server'
    const work = async db => {
      const docs = await db.collection('docs', { dim: 2 })
      await docs.upsert([{ id: 1, vector: [1, 2] }])
      await docs.flush()
    }
    try {
      const db = await Drift.open(${JSON.stringify(join(dirname(program), 'data'))}, { threads: 1 })
      await work(db).finally(() => db.close())
    } catch ({ code, message }) {
      process.stdout.write(code + ' ' + message)
    }`,
  )
  const out = String(execFileSync(process.execPath, [program], { timeout: 60_000 }))
  expect(out).toMatch(new RegExp(`^${code} [^]*Cannot find module [^]*${missing.split('/').at(-1)}`))
})
