/**
 * Proves that the real disk, the simulated disk and the fault injector with nothing planned are the same DriftFs: same results,
 * same error codes. What the engine learns on the simulated disk is then true on the real one.
 */

import { fstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type DriftFs, FaultFs, FsError, NodeFs, SimFs } from '../src/index.js'

const implementations: Record<string, () => DriftFs> = {
  'NodeFs with pid files': () => new NodeFs(),
  'NodeFs with flock': () => new NodeFs({ flock: inodeLock() }),
  'NodeFs with short writes': () => new NodeFs({ writeLimit: bytes => Math.max(1, bytes >> 1) }),
  SimFs: () => new SimFs(),
  'SimFs with short writes': () => new SimFs({ writeLimit: () => 3 }),
  'FaultFs over SimFs': () => new FaultFs(new SimFs(), []),
}

describe.each(Object.entries(implementations))('%s', (_name, make) => {
  let fs: DriftFs
  let temporary: string
  let home: string

  beforeEach(() => {
    temporary = mkdtempSync(join(tmpdir(), 'drift-fs-'))
    fs = make()
    home = fs instanceof NodeFs ? temporary : '/home'
    fs.makeFolder(home)
  })
  afterEach(() => rmSync(temporary, { recursive: true, force: true }))

  const at = (name: string): string => `${home}/${name}`
  const text = (value: string): Uint8Array => new TextEncoder().encode(value)

  function put(name: string, content: string): void {
    const fd = fs.open(at(name), 'create')
    fs.write(fd, text(content), 0)
    fs.close(fd)
  }

  function get(name: string): string {
    const fd = fs.open(at(name), 'read')
    const into = new Uint8Array(fs.stat(at(name))?.bytes ?? 0)
    expect(fs.read(fd, into, 0)).toBe(into.length)
    fs.close(fd)
    return new TextDecoder().decode(into)
  }

  test('the disk tells how much it can still take', () => {
    expect(fs.freeBytes(home)).toBeGreaterThan(0)
    expect(codeOf(() => fs.freeBytes(at('nothing')))).toBe('DRIFT_FS_ENOENT')
  })

  function codeOf(action: () => unknown): string {
    try {
      action()
    } catch (error) {
      expect(error).toBeInstanceOf(FsError)
      return (error as FsError).code
    }
    return 'no error'
  }

  test('what was written is read back at every offset', () => {
    put('a', 'hello world')
    const fd = fs.open(at('a'), 'read')
    const into = new Uint8Array(5)
    expect(fs.read(fd, into, 6)).toBe(5)
    expect(into).toEqual(text('world'))
    expect(fs.read(fd, into, 9)).toBe(2)
    expect(into.subarray(0, 2)).toEqual(text('ld'))
    fs.close(fd)
  })

  test('a read at or beyond the end gives no bytes and leaves the buffer alone', () => {
    put('a', 'xyz')
    const fd = fs.open(at('a'), 'read')
    const into = text('keep')
    expect(fs.read(fd, into, 3)).toBe(0)
    expect(fs.read(fd, into, 1000)).toBe(0)
    expect(into).toEqual(text('keep'))
    fs.close(fd)
  })

  test('a write beyond the end leaves zeros between', () => {
    const fd = fs.open(at('a'), 'create')
    fs.write(fd, text('end'), 5)
    fs.close(fd)
    expect(get('a')).toBe('\0\0\0\0\0end')
  })

  test('a write of no bytes changes nothing, not even the size', () => {
    const fd = fs.open(at('a'), 'create')
    fs.write(fd, new Uint8Array(0), 100)
    fs.close(fd)
    expect(fs.stat(at('a'))).toEqual({ kind: 'file', bytes: 0 })
  })

  test('a later write replaces the bytes it covers and no others', () => {
    put('a', 'aaaaaaaa')
    const fd = fs.open(at('a'), 'write')
    fs.write(fd, text('bb'), 3)
    fs.fdatasync(fd)
    fs.write(fd, text('cc'), 4)
    fs.fsync(fd)
    fs.close(fd)
    expect(get('a')).toBe('aaabccaa')
  })

  test('the bytes may be changed by the caller once write has returned', () => {
    const fd = fs.open(at('a'), 'create')
    const bytes = text('kept')
    fs.write(fd, bytes, 0)
    bytes.fill(0)
    fs.close(fd)
    expect(get('a')).toBe('kept')
  })

  test('truncate shortens, and what it cut off comes back as zeros', () => {
    put('a', 'abcdef')
    const fd = fs.open(at('a'), 'write')
    fs.truncate(fd, 2)
    expect(fs.stat(at('a'))?.bytes).toBe(2)
    fs.truncate(fd, 4)
    fs.close(fd)
    expect(get('a')).toBe('ab\0\0')
  })

  test('create refuses a name that exists, read and write refuse one that does not', () => {
    put('a', '')
    expect(codeOf(() => fs.open(at('a'), 'create'))).toBe('DRIFT_FS_EEXIST')
    expect(codeOf(() => fs.open(at('b'), 'read'))).toBe('DRIFT_FS_ENOENT')
    expect(codeOf(() => fs.open(at('b'), 'write'))).toBe('DRIFT_FS_ENOENT')
    expect(codeOf(() => fs.open(at('no/b'), 'create'))).toBe('DRIFT_FS_ENOENT')
    expect(codeOf(() => fs.open(at('a/b'), 'create'))).toBe('DRIFT_FS_ENOTDIR')
    expect(codeOf(() => fs.open(home, 'read'))).toBe('DRIFT_FS_EISDIR')
  })

  test('a descriptor opened for reading takes no write and no truncate', () => {
    put('a', 'abc')
    const fd = fs.open(at('a'), 'read')
    expect(codeOf(() => fs.write(fd, text('x'), 0))).toBe('DRIFT_FS_EBADF')
    expect(codeOf(() => fs.truncate(fd, 0))).toBe('DRIFT_FS_EINVAL')
    fs.close(fd)
    expect(get('a')).toBe('abc')
  })

  test('a closed or invented descriptor is refused by every method', () => {
    put('a', 'abc')
    const fd = fs.open(at('a'), 'write')
    fs.close(fd)
    for (const bad of [fd, 99_999, -1]) {
      expect(codeOf(() => fs.close(bad))).toBe('DRIFT_FS_EBADF')
      expect(codeOf(() => fs.read(bad, new Uint8Array(1), 0))).toBe('DRIFT_FS_EBADF')
      expect(codeOf(() => fs.write(bad, new Uint8Array(1), 0))).toBe('DRIFT_FS_EBADF')
      expect(codeOf(() => fs.fdatasync(bad))).toBe('DRIFT_FS_EBADF')
      expect(codeOf(() => fs.fsync(bad))).toBe('DRIFT_FS_EBADF')
      expect(codeOf(() => fs.truncate(bad, 0))).toBe('DRIFT_FS_EBADF')
    }
  })

  test('an offset that is no position in a file is refused', () => {
    const fd = fs.open(at('a'), 'create')
    for (const offset of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(codeOf(() => fs.write(fd, text('x'), offset))).toBe('DRIFT_FS_EINVAL')
      expect(codeOf(() => fs.read(fd, new Uint8Array(1), offset))).toBe('DRIFT_FS_EINVAL')
      expect(codeOf(() => fs.truncate(fd, offset))).toBe('DRIFT_FS_EINVAL')
    }
    fs.close(fd)
  })

  test('rename replaces an existing file, and an open descriptor follows its file', () => {
    put('old', 'old')
    put('new', 'new')
    const fd = fs.open(at('old'), 'read')
    fs.rename(at('new'), at('old'))
    expect(fs.list(home)).toEqual(['old'])
    expect(get('old')).toBe('new')
    const into = new Uint8Array(3)
    fs.read(fd, into, 0)
    expect(into).toEqual(text('old'))
    fs.close(fd)
  })

  test('rename moves between folders, and refuses a missing source or a folder as target', () => {
    fs.makeFolder(at('sub'))
    put('a', 'moved')
    fs.rename(at('a'), at('sub/b'))
    expect(get('sub/b')).toBe('moved')
    expect(fs.list(home)).toEqual(['sub'])
    expect(codeOf(() => fs.rename(at('a'), at('b')))).toBe('DRIFT_FS_ENOENT')
    put('c', '')
    expect(codeOf(() => fs.rename(at('c'), at('sub')))).toBe('DRIFT_FS_EISDIR')
    fs.rename(at('sub'), at('moved'))
    expect(get('moved/b')).toBe('moved')
    fs.rename(at('c'), at('c'))
    expect(fs.list(home)).toEqual(['c', 'moved'])
  })

  test('remove takes a file or an empty folder, and an open descriptor still reads', () => {
    fs.makeFolder(at('sub'))
    put('sub/a', 'abc')
    expect(codeOf(() => fs.remove(at('sub')))).toBe('DRIFT_FS_ENOTEMPTY')
    const fd = fs.open(at('sub/a'), 'read')
    fs.remove(at('sub/a'))
    expect(fs.stat(at('sub/a'))).toBeUndefined()
    expect(fs.read(fd, new Uint8Array(9), 0)).toBe(3)
    fs.close(fd)
    fs.remove(at('sub'))
    expect(codeOf(() => fs.remove(at('sub')))).toBe('DRIFT_FS_ENOENT')
  })

  test('list gives the names in one order, whatever order they came in', () => {
    for (const name of ['b', 'B', '10', 'a', '9', 'é']) put(name, '')
    expect(fs.list(home)).toEqual(['10', '9', 'B', 'a', 'b', 'é'])
    expect(codeOf(() => fs.list(at('none')))).toBe('DRIFT_FS_ENOENT')
    expect(codeOf(() => fs.list(at('a')))).toBe('DRIFT_FS_ENOTDIR')
  })

  test('makeFolder needs its parent, and may be repeated', () => {
    fs.makeFolder(at('sub'))
    fs.makeFolder(at('sub'))
    expect(fs.stat(at('sub'))?.kind).toBe('folder')
    expect(codeOf(() => fs.makeFolder(at('x/y')))).toBe('DRIFT_FS_ENOENT')
    put('file', '')
    expect(codeOf(() => fs.makeFolder(at('file')))).toBe('DRIFT_FS_EEXIST')
  })

  test('stat of nothing is undefined, also below a file', () => {
    put('a', 'abc')
    expect(fs.stat(at('a'))).toEqual({ kind: 'file', bytes: 3 })
    expect(fs.stat(at('b'))).toBeUndefined()
    expect(fs.stat(at('a/b'))).toBeUndefined()
  })

  test('syncFolder takes a folder only', () => {
    put('a', '')
    fs.syncFolder(home)
    expect(codeOf(() => fs.syncFolder(at('none')))).toBe('DRIFT_FS_ENOENT')
    expect(codeOf(() => fs.syncFolder(at('a')))).toBe('DRIFT_FS_ENOTDIR')
  })

  test('a lock is held once, also within one process, and is free after release', () => {
    const held = fs.lock(at('LOCK'))
    expect(codeOf(() => fs.lock(at('LOCK')))).toBe('DRIFT_FS_LOCKED')
    fs.lock(at('OTHER')).release()
    held.release()
    const again = fs.lock(at('LOCK'))
    held.release()
    expect(codeOf(() => fs.lock(at('LOCK')))).toBe('DRIFT_FS_LOCKED')
    again.release()
    fs.lock(at('LOCK')).release()
    expect(codeOf(() => fs.lock(at('none/LOCK')))).toBe('DRIFT_FS_ENOENT')
  })

  test('who finds a lock held is told by whom, where processes may be several', () => {
    for (const text of ['', 'what somebody else wrote']) {
      const held = fs.lock(at('LOCK'))
      const isReal = fs instanceof NodeFs
      expect(() => fs.lock(at('LOCK'))).toThrow(
        expect.objectContaining({
          holder: isReal ? expect.stringMatching(`^process ${process.pid}\\b`) : undefined,
        }),
      )
      held.release()
      if (isReal) writeFileSync(at('LOCK'), text)
    }
  })

  test('an error names the method and the path', () => {
    const path = at('none')
    expect(() => fs.open(path, 'read')).toThrow(expect.objectContaining({ operation: 'open', path }))
    put('a', '')
    const fd = fs.open(at('a'), 'read')
    expect(() => fs.read(fd, new Uint8Array(1), -1)).toThrow(
      expect.objectContaining({ operation: 'read', path: at('a') }),
    )
    fs.close(fd)
  })
})

/** flock(2) for one process: a lock belongs to an inode, and closing its descriptor frees it. */
function inodeLock(): (fd: number) => number {
  const holders = new Map<number, number>()
  const inodeOf = (fd: number): number | undefined => {
    try {
      return fstatSync(fd).ino
    } catch {
      return undefined
    }
  }
  return fd => {
    const inode = fstatSync(fd).ino
    const holder = holders.get(inode)
    if (holder !== undefined && holder !== fd && inodeOf(holder) === inode) return constants.errno.EAGAIN
    holders.set(inode, fd)
    return 0
  }
}
