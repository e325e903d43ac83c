/** Proves the promise of the simulated disk: what was synced survives every power cut, and everything else may be lost, torn or zeroed. */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { SimFs } from './sim-fs.js'

const SEEDS = 400

function bytes(value: number, length: number): Uint8Array {
  return new Uint8Array(length).fill(value)
}

function content(fs: SimFs, path: string): Uint8Array | undefined {
  const found = fs.stat(path)
  if (found?.kind !== 'file') return undefined
  const fd = fs.open(path, 'read')
  const into = new Uint8Array(found.bytes)
  fs.read(fd, into, 0)
  fs.close(fd)
  return into
}

function put(fs: SimFs, path: string, data: Uint8Array, sync = true): void {
  const fd = fs.open(path, 'create')
  fs.write(fd, data, 0)
  if (sync) fs.fsync(fd)
  fs.close(fd)
}

/** What `see` gives on the disks that a power cut may leave, without repeats. */
function outcomes(fs: SimFs, see: (image: SimFs) => unknown): Set<string> {
  const seen = new Set<string>()
  for (let seed = 0; seed < SEEDS; seed++) seen.add(JSON.stringify(see(fs.powerCut({ seed })) ?? null))
  return seen
}

test('synced bytes under a synced name survive every power cut', () => {
  const fs = new SimFs()
  fs.makeFolder('/db')
  fs.syncFolder('/')
  put(fs, '/db/a', bytes(7, 3000))
  fs.syncFolder('/db')
  const fd = fs.open('/db/a', 'write')
  fs.write(fd, bytes(9, 100), 5000)
  for (let seed = 0; seed < SEEDS; seed++) {
    const after = content(fs.powerCut({ seed }), '/db/a')
    expect(after && Buffer.compare(after.subarray(0, 3000), bytes(7, 3000)), `seed ${seed}`).toBe(0)
  }
})

test('unsynced bytes may stay, vanish, tear between sectors or read as zeros', () => {
  const fs = new SimFs()
  put(fs, '/a', bytes(1, 1024))
  fs.syncFolder('/')
  const fd = fs.open('/a', 'write')
  fs.write(fd, bytes(2, 1024), 512)
  const seen = outcomes(fs, image => [0, 512, 1024].map(at => content(image, '/a')?.[at] ?? 'cut'))
  for (const sectors of [
    [1, 1, 'cut'],
    [1, 2, 2],
    [1, 2, 0],
    [1, 1, 2],
    [1, 1, 0],
  ])
    expect(seen).toContain(JSON.stringify(sectors))
  expect(seen.size).toBe(5)
})

test('a sector is never torn', () => {
  const fs = new SimFs()
  put(fs, '/a', bytes(1, 2048))
  fs.syncFolder('/')
  fs.write(fs.open('/a', 'write'), bytes(2, 2048), 0)
  for (let seed = 0; seed < SEEDS; seed++) {
    const after = content(fs.powerCut({ seed }), '/a') ?? bytes(0, 0)
    for (let at = 0; at < after.length; at += 512)
      expect(new Set(after.subarray(at, at + 512)).size, `sector at ${at}, seed ${seed}`).toBe(1)
  }
})

test('a synced file whose folder was not synced may vanish, and is whole when it stays', () => {
  const fs = new SimFs()
  put(fs, '/a', bytes(5, 10))
  expect(outcomes(fs, image => content(image, '/a')?.join())).toEqual(
    new Set(['null', JSON.stringify(bytes(5, 10).join())]),
  )
})

test('a rename without a folder sync gives the old or the new file, never a mix and never none', () => {
  const fs = new SimFs()
  put(fs, '/manifest', bytes(1, 4))
  fs.syncFolder('/')
  put(fs, '/draft', bytes(2, 4))
  fs.rename('/draft', '/manifest')
  expect(outcomes(fs, image => content(image, '/manifest')?.join())).toEqual(
    new Set(['"1,1,1,1"', '"2,2,2,2"']),
  )
  fs.syncFolder('/')
  expect(outcomes(fs, image => content(image, '/manifest')?.join())).toEqual(new Set(['"2,2,2,2"']))
})

test('a rename before the sync of its bytes may leave an empty file', () => {
  const fs = new SimFs()
  put(fs, '/draft', bytes(2, 4), false)
  fs.rename('/draft', '/manifest')
  fs.syncFolder('/')
  expect(outcomes(fs, image => content(image, '/manifest')?.length)).toContain('0')
})

test('a move to another folder may show the file twice and never loses it', () => {
  const fs = new SimFs()
  for (const folder of ['/from', '/to']) fs.makeFolder(folder)
  fs.syncFolder('/')
  put(fs, '/from/a', bytes(3, 2))
  fs.syncFolder('/from')
  fs.rename('/from/a', '/to/a')
  const where = (image: SimFs): string => `${image.list('/from').length}${image.list('/to').length}`
  expect(outcomes(fs, where)).toEqual(new Set(['"10"', '"11"', '"01"']))
  fs.syncFolder('/from')
  expect(outcomes(fs, where)).toEqual(new Set(['"01"']))
})

test('a removed name may come back until its folder is synced', () => {
  const fs = new SimFs()
  put(fs, '/a', bytes(1, 1))
  fs.syncFolder('/')
  fs.remove('/a')
  expect(outcomes(fs, image => image.list('/'))).toEqual(new Set(['[]', '["a"]']))
  fs.syncFolder('/')
  expect(outcomes(fs, image => image.list('/'))).toEqual(new Set(['[]']))
})

test('a folder that was not synced into its parent may vanish with all it holds', () => {
  const fs = new SimFs()
  fs.makeFolder('/db')
  put(fs, '/db/a', bytes(1, 1))
  fs.syncFolder('/db')
  expect(outcomes(fs, image => image.list('/'))).toEqual(new Set(['[]', '["db"]']))
})

test('a truncate that was not synced may be undone', () => {
  const fs = new SimFs()
  put(fs, '/a', bytes(1, 10))
  fs.syncFolder('/')
  fs.truncate(fs.open('/a', 'write'), 4)
  expect(outcomes(fs, image => content(image, '/a')?.length)).toEqual(new Set(['10', '4']))
})

test('none and all are the two ends of what may survive', () => {
  const fs = new SimFs()
  put(fs, '/a', bytes(1, 4))
  fs.syncFolder('/')
  fs.write(fs.open('/a', 'write'), bytes(2, 4), 0)
  put(fs, '/b', bytes(3, 1))
  const none = fs.powerCut({ data: 'none', entries: 'none' })
  expect([none.list('/'), content(none, '/a')]).toEqual([['a'], bytes(1, 4)])
  const all = fs.powerCut({ data: 'all', entries: 'all' })
  expect([all.list('/'), content(all, '/a')]).toEqual([['a', 'b'], bytes(2, 4)])
})

test('the same seed gives the same disk, and a cut leaves the running disk as it was', () => {
  const fs = new SimFs()
  for (let index = 0; index < 20; index++) put(fs, `/f${index}`, bytes(index, 2000), index % 2 === 0)
  const snapshot = (image: SimFs): unknown => image.list('/').map(name => [name, content(image, `/${name}`)])
  const before = snapshot(fs)
  const first = fs.powerCut({ seed: 77 })
  put(first, '/extra', bytes(1, 1))
  first.write(first.open('/extra', 'write'), bytes(9, 5000), 0)
  first.remove('/extra')
  expect(snapshot(fs.powerCut({ seed: 77 }))).toEqual(snapshot(first))
  expect(snapshot(fs)).toEqual(before)
})

test('an image and its disk share no later change', () => {
  const fs = new SimFs()
  put(fs, '/a', bytes(1, 8))
  fs.syncFolder('/')
  const image = fs.powerCut({ data: 'none' })
  for (const [disk, value] of [
    [fs, 2],
    [image, 3],
  ] as const) {
    const fd = disk.open('/a', 'write')
    disk.write(fd, bytes(value, 8), 0)
    disk.fsync(fd)
  }
  expect(content(fs, '/a')).toEqual(bytes(2, 8))
  expect(content(image, '/a')).toEqual(bytes(3, 8))
})

test('killing the process keeps every write, and a later power cut may still lose what was not synced', () => {
  const fs = new SimFs()
  put(fs, '/a', bytes(4, 4), false)
  fs.lock('/LOCK')
  const fd = fs.open('/a', 'write')
  const next = fs.processKill()
  expect(content(next, '/a')).toEqual(bytes(4, 4))
  expect(() => next.read(fd, bytes(0, 1), 0)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_EBADF' }))
  next.lock('/LOCK').release()
  expect(next.powerCut({ data: 'none', entries: 'none' }).list('/')).toEqual([])
})

test('bytes dropped by a failed write-back are gone and the synced ones are back', () => {
  const fs = new SimFs()
  put(fs, '/a', bytes(1, 4))
  const fd = fs.open('/a', 'write')
  fs.write(fd, bytes(2, 9), 0)
  fs.dropUnsynced(fd)
  fs.fsync(fd)
  expect(content(fs, '/a')).toEqual(bytes(1, 4))
})

test('operations are counted and announced before they take effect', () => {
  const seen: string[] = []
  const fs: SimFs = new SimFs({
    before: (operation, path, count) => seen.push(`${count} ${operation} ${path} ${fs.operationCount}`),
  })
  put(fs, '/a', bytes(1, 1))
  expect(seen).toEqual(['1 open /a 1', '2 write /a 2', '3 fsync /a 3', '4 close /a 4'])
})

test('rewriting a synced file over and over takes no more memory', () => {
  const fs = new SimFs()
  put(fs, '/a', bytes(0, 1 << 20))
  const fd = fs.open('/a', 'write')
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const before = process.memoryUsage().arrayBuffers
  for (let round = 0; round < 64; round++) {
    fs.write(fd, bytes(round, 1 << 20), 0)
    fs.fdatasync(fd)
  }
  collect()
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 << 20)
  expect(content(fs, '/a')?.[(1 << 20) - 1]).toBe(63)
})

test('a disk with a capacity writes what fits, refuses the rest, and goes on when there is room', () => {
  const disk = new SimFs({ capacity: 100 })
  const fd = disk.open('/a', 'create')
  expect(disk.freeBytes('/')).toBe(100)
  disk.write(fd, new Uint8Array(60).fill(1), 0)
  expect(disk.freeBytes('/')).toBe(40)
  expect(() => disk.write(fd, new Uint8Array(80).fill(2), 60)).toThrow(
    expect.objectContaining({ code: 'DRIFT_FS_ENOSPC' }),
  )
  expect(disk.stat('/a')?.bytes).toBe(100)
  expect(disk.freeBytes('/')).toBe(0)
  disk.write(fd, new Uint8Array(100).fill(3), 0)
  disk.truncate(fd, 10)
  expect(() => disk.truncate(fd, 101)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_ENOSPC' }))
  disk.capacity = 200
  disk.truncate(fd, 101)
  disk.remove('/a')
  expect(disk.freeBytes('/')).toBe(200)
})

test.each([{ data: 'some' }, { entries: true }, { entries: null }, { entry: 'none' }, { Seed: 1 }])(
  'a power cut of %j is refused',
  cut => {
    const powerCut = () => new SimFs().powerCut(cut as never)
    expect(powerCut).toThrow(expect.objectContaining({ code: 'DRIFT_FS_EINVAL' }))
  },
)

test('an option that a simulated disk has not is refused, also of the one that a power cut leaves', () => {
  const refused = expect.objectContaining({ code: 'DRIFT_FS_EINVAL' })
  const options = { beforeEach: () => {} } as never
  expect(() => new SimFs(options)).toThrow(refused)
  expect(() => new SimFs().powerCut({}, options)).toThrow(refused)
  expect(() => new SimFs().processKill(options)).toThrow(refused)
})
