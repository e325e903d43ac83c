// The binary: it loads in several threads at once, survives the end of one in the middle of a call, locks files, and
// is not needed: without it the package works and says once how to get it.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, cpSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import {
  allocateHnsw,
  allocateSlab,
  flock,
  hasAddon,
  hnswLinked,
  hnswRows,
  kernelsOf,
  NativeError,
  supportedVariants,
} from '../lib/index.js'
import { random } from './random.js'

const root = join(import.meta.dirname, '..')
const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

describe.each(supportedVariants())('%s', variant => {
  it('searches in two workers while the main thread inserts, and one worker is terminated in a call', async () => {
    const dim = 16
    const count = 1500
    const rows = new Float32Array(allocateSlab(count * dim * 4), 0, count * dim)
    const { normal } = random(30)
    for (let i = 0; i < rows.length; i++) rows[i] = normal()
    const graph = allocateHnsw({ capacity: count, M: 8, efConstruction: 40, seed: 2 })
    for (let node = 0; node < count; node++) hnswRows(graph)[node] = node
    const kernels = kernelsOf(variant)
    kernels.hnswInsert(graph, 'l2', rows, dim, 100)

    const stop = new Int32Array(new SharedArrayBuffer(4))
    const workerData = { variant, graph, rows, dim, stop }
    const path = new URL('./graph-reader.mjs', import.meta.url)
    const [survivor, victim] = [new Worker(path, { workerData }), new Worker(path, { workerData })]
    await Promise.all([once(survivor, 'message'), once(victim, 'message')])
    // Listened for from here on: a reader that fails ends the test, whenever it fails.
    const [report, exit] = [once(survivor, 'message'), once(survivor, 'exit')]
    const ended = victim.terminate()
    for (let linked = 100; linked < count; linked += 50) {
      expect(kernels.hnswInsert(graph, 'l2', rows, dim, 50)).toBe(linked + 50)
    }
    await ended
    Atomics.store(stop, 0, 1)
    const [{ searches, wrong }] = await report
    await exit
    expect(wrong).toBe(0)
    expect(searches).toBeGreaterThan(1)

    const found = new Uint32Array(1)
    const live = new Uint32Array(Math.ceil(count / 32)).fill(0xffff_ffff)
    kernels.hnswSearch(graph, 'l2', rows, dim, rows.subarray(0, dim), 50, live, found, new Float32Array(1))
    expect(found[0]).toBe(0)
  })
})

it('takes a graph for one at every moment of a writer that raises its entry', async () => {
  const capacity = 1_000_000
  const graph = allocateHnsw({ capacity, M: 2, seed: 1 })
  const [linkedWord, entryWord] = [16, 17]
  const writer = new Worker(
    `const { workerData: graph } = require('node:worker_threads')
    for (let node = 0; node < ${capacity}; node++) {
      Atomics.store(graph, ${linkedWord}, node + 1)
      Atomics.store(graph, ${entryWord}, node)
    }`,
    { eval: true, workerData: graph },
  )
  const exit = once(writer, 'exit')
  let seen = 0
  while (seen < capacity) seen = hnswLinked(graph)
  expect(await exit).toEqual([0])
})

describe('without the binary', () => {
  it('works, and warns once for all threads how to get it', () => {
    const { status, stdout, stderr } = runCopy({})
    expect(status, stderr).toBe(0)
    expect(stdout).toBe('reference false unsupported e3069283')
    expect(stderr.match(/DRIFT_NO_ADDON/g)).toHaveLength(1)
    expect(stderr).toContain('TypeScript kernels')
    expect(stderr).toContain('build-addon')
  })

  it('says nothing to those who ask for the reference', () => {
    const { stdout, stderr } = runCopy({ DRIFT_KERNELS: 'reference' })
    expect(stdout).toContain('reference false')
    expect(stderr).toBe('')
  })

  it('works when the binary is there but damaged, and says so', () => {
    const { status, stdout, stderr } = runCopy({}, folder => {
      const place = join(folder, 'prebuilds', `${process.platform}-${process.arch}`)
      mkdirSync(place, { recursive: true })
      writeFileSync(join(place, `drift-${process.versions.modules}.node`), 'not a binary')
    })
    expect(status, stderr).toBe(0)
    expect(stdout).toContain('reference false')
    expect(stderr).toContain('did not load')
  })

  /** Imports a copy of dist that has no prebuilds beside it, in the main thread and in a worker. */
  function runCopy(
    env: NodeJS.ProcessEnv,
    prepare: (folder: string) => void = () => {},
  ): ReturnType<typeof spawnSync> & { stdout: string; stderr: string } {
    const folder = mkdtempSync(join(tmpdir(), 'drift-native-'))
    folders.push(folder)
    cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    prepare(folder)
    const entry = JSON.stringify(pathToFileURL(join(folder, 'dist', 'index.js')).href)
    const script = `
      const { kernels, hasAddon, flock } = await import(${entry})
      const { Worker } = await import('node:worker_threads')
      const { once } = await import('node:events')
      const worker = new Worker('import(' + ${JSON.stringify(entry)} + ')', { eval: true })
      const [code] = await once(worker, 'exit')
      if (code !== 0) throw new Error('the worker ended with ' + code)
      const crc = kernels.crc32c(new TextEncoder().encode('123456789')).toString(16)
      process.stdout.write([kernels.variant, hasAddon, flock(0), crc].join(' '))`
    const { DRIFT_KERNELS: _, NODE_OPTIONS: __, ...clean } = process.env
    return spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      env: { ...clean, ...env },
    }) as ReturnType<typeof runCopy>
  }
})

describe('flock', () => {
  it.runIf(hasAddon)('is held by one open file at a time and freed when it closes', () => {
    const folder = mkdtempSync(join(tmpdir(), 'drift-native-'))
    folders.push(folder)
    const path = join(folder, 'LOCK')
    const first = openSync(path, 'w')
    const second = openSync(path, 'r')
    expect(flock(first)).toBe('locked')
    expect(flock(first)).toBe('locked')
    expect(flock(second)).toBe('busy')
    expect(flock(second, 'shared')).toBe('busy')
    closeSync(first)
    expect(flock(second, 'shared')).toBe('locked')
    const third = openSync(path, 'r')
    expect(flock(third, 'shared')).toBe('locked')
    expect(flock(third)).toBe('busy')
    closeSync(second)
    closeSync(third)
  })

  it.runIf(hasAddon)('reports what the system says', () => {
    expect(() => flock(987_654)).toThrow(/EBADF/)
  })

  it('refuses what is no descriptor', () => {
    for (const fd of [-1, 0.5, Number.NaN, 2 ** 31]) expect(() => flock(fd)).toThrow(NativeError)
  })
})
