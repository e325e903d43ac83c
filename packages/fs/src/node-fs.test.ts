/** Proves what only real processes can: a lock dies with its process, a live one is respected, and nobody judges what they cannot see. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { NodeFs } from './node-fs.js'
import { SimFs } from './sim-fs.js'

let folder: string
let lockPath: string
let child: ChildProcess | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drift-fs-'))
  lockPath = join(folder, 'LOCK')
})
afterEach(() => {
  child?.kill('SIGKILL')
  child = undefined
  rmSync(folder, { recursive: true, force: true })
})

/** Another process that holds the lock, from the built package. */
async function otherHolder(): Promise<ChildProcess> {
  const entry = new URL('../dist/index.js', import.meta.url).href
  const code = `import { NodeFs } from ${JSON.stringify(entry)}
    new NodeFs().lock(${JSON.stringify(lockPath)})
    process.stdout.write('held')
    setInterval(() => {}, 1000)`
  child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout!, 'data')
  return child
}

test('a lock of a live process is respected and the lock of a killed one is taken over', async () => {
  const holder = await otherHolder()
  expect(() => new NodeFs().lock(lockPath)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_LOCKED' }))
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  const lock = new NodeFs().lock(lockPath)
  expect(() => new NodeFs().lock(lockPath)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_LOCKED' }))
  lock.release()
  expect(readdirSync(folder)).toEqual([])
})

test('an open file is nameless once its name is gone or leads to another file, and not while it has one', () => {
  const fs = new NodeFs()
  const path = join(folder, 'file')
  const fd = fs.open(path, 'create')
  expect(fs.isNameless(fd)).toBe(false)
  fs.rename(path, join(folder, 'elsewhere'))
  expect(fs.isNameless(fd)).toBe(false)
  fs.remove(join(folder, 'elsewhere'))
  expect(fs.isNameless(fd)).toBe(true)
  writeFileSync(path, 'another')
  expect(fs.isNameless(fd)).toBe(true)
  fs.close(fd)
})

test('what another thread writes is at its place when it says so, and a failure names operation and path', async () => {
  const fs = new NodeFs()
  const path = join(folder, 'file')
  const fd = fs.open(path, 'create')
  const bytes = Uint8Array.from({ length: 3_000_000 }, (_, i) => i % 251)
  await fs.writeAside(fd, bytes, 5, true)
  expect(Buffer.compare(readFileSync(path).subarray(5), bytes)).toBe(0)
  fs.close(fd)
  const reading = fs.open(path, 'read')
  const refused = { code: 'DRIFT_FS_EBADF', operation: 'write', path }
  await expect(fs.writeAside(reading, bytes, 0, false)).rejects.toMatchObject(refused)
  fs.close(reading)
})

test('a descriptor that another thread closes is not open here any more, and its removed file is gone', () => {
  const fs = new NodeFs()
  const path = join(folder, 'file')
  writeFileSync(path, 'bytes')
  const fd = fs.open(path, 'read')
  fs.remove(path)
  fs.closeAside(fd)
  const refused = expect.objectContaining({ code: 'DRIFT_FS_EBADF' })
  expect(() => fs.read(fd, new Uint8Array(1), 0)).toThrow(refused)
  expect(() => fs.closeAside(fd)).toThrow(refused)
  expect(readdirSync(folder)).toEqual([])
})

test('a lock of this pid from before its start, or from another boot, is stale', () => {
  for (const change of [{ start: '1' }, { boot: 'another' }]) {
    const lock = new NodeFs().lock(lockPath)
    const owner = JSON.parse(readFileSync(`${lockPath}.pid`, 'utf8'))
    lock.release()
    writeFileSync(`${lockPath}.pid`, JSON.stringify({ ...owner, ...change }))
    new NodeFs().lock(lockPath).release()
  }
})

test('an owner in another pid namespace and a file of unknown content are never taken over', () => {
  const lock = new NodeFs().lock(lockPath)
  const owner = JSON.parse(readFileSync(`${lockPath}.pid`, 'utf8'))
  lock.release()
  for (const content of [
    JSON.stringify({ ...owner, namespace: 'pid:[1]', pid: 1 }),
    '',
    'null',
    '{"pid":"x"}',
  ]) {
    writeFileSync(`${lockPath}.pid`, content)
    expect(() => new NodeFs().lock(lockPath)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_LOCKED' }))
    expect(readFileSync(`${lockPath}.pid`, 'utf8')).toBe(content)
  }
})

test('a takeover waits for nobody: while another process is at it the lock is refused', () => {
  writeFileSync(`${lockPath}.pid`, JSON.stringify({ pid: 1, boot: 'old', namespace: '', start: '' }))
  writeFileSync(`${lockPath}.pid.takeover`, '')
  expect(() => new NodeFs().lock(lockPath)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_LOCKED' }))
})

test.runIf(process.platform === 'linux')('a lock that fails leaves no file open', () => {
  const failing = () => {
    throw new Error('no flock here')
  }
  const refused = expect.objectContaining({ code: 'DRIFT_FS_EUNKNOWN' })
  expect(() => new NodeFs({ flock: failing }).lock(lockPath)).toThrow(refused)
  const open = readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === lockPath
    } catch {
      return false // the one that lists them
    }
  })
  expect(open).toEqual([])
})

test('a lock that cannot be given back says so by a code', () => {
  const lock = new NodeFs().lock(lockPath)
  const pidFile = `${lockPath}.pid`
  rmSync(pidFile)
  mkdirSync(pidFile)
  expect(() => lock.release()).toThrow(expect.objectContaining({ code: 'DRIFT_FS_EISDIR' }))
})

test('an errno of flock that is not a conflict is named', () => {
  const fs = new NodeFs({ flock: () => constants.errno.ENOLCK })
  expect(() => fs.lock(lockPath)).toThrow(
    expect.objectContaining({ code: 'DRIFT_FS_ENOLCK', operation: 'lock' }),
  )
})

test('wider values than bytes, and modes that there are not, are refused by both disks before anything is done', async () => {
  for (const [fs, path] of [
    [new NodeFs(), join(folder, 'file')],
    [new SimFs(), '/file'],
  ] as const) {
    expect(() => fs.open(path, 'append' as never)).toThrow('EINVAL')
    expect(fs.stat(path)).toBeUndefined()
    const fd = fs.open(path, 'create')
    const einval = expect.objectContaining({ name: 'FsError', code: 'DRIFT_FS_EINVAL', path })
    for (const wrong of [Float32Array.of(1, 2), [1, 2], 'text', undefined] as never[]) {
      expect(() => fs.write(fd, wrong, 0)).toThrow(einval)
      expect(() => fs.read(fd, wrong, 0)).toThrow(einval)
      if ('writeAside' in fs) await expect(fs.writeAside(fd, wrong, 0, true)).rejects.toEqual(einval)
    }
    expect(fs.stat(path)!.bytes).toBe(0)
    fs.close(fd)
  }
})

test('bytes of another realm are bytes to both disks', () => {
  for (const [fs, path] of [
    [new NodeFs(), join(folder, 'file')],
    [new SimFs(), '/file'],
  ] as const) {
    const fd = fs.open(path, 'create')
    fs.write(fd, runInNewContext('Uint8Array.of(1, 2, 3)'), 0)
    const into: Uint8Array = runInNewContext('new Uint8Array(3)')
    expect(fs.read(fd, into, 0)).toBe(3)
    expect([...into]).toEqual([1, 2, 3])
    fs.close(fd)
  }
})
