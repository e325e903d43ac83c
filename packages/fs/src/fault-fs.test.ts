/** Proves that planned faults hit the call they name, with the effect they name, and that every write loops over short ones. */

import { expect, test } from 'vitest'
import { FaultFs } from './fault-fs.js'
import { SimFs } from './sim-fs.js'

const TEN = Uint8Array.from({ length: 10 }, (_, index) => index + 1)

function workload(fs: FaultFs | SimFs): void {
  const fd = fs.open('/draft', 'create')
  try {
    fs.write(fd, TEN, 0)
    fs.fdatasync(fd)
  } finally {
    fs.close(fd)
  }
  fs.rename('/draft', '/a')
  fs.syncFolder('/')
}

function content(fs: SimFs, path: string): Uint8Array {
  const into = new Uint8Array(fs.stat(path)?.bytes ?? 0)
  const fd = fs.open(path, 'read')
  fs.read(fd, into, 0)
  fs.close(fd)
  return into
}

test('a fault at 1, 2, 3, ... meets every call of a workload and then none', () => {
  const codes: string[] = []
  for (let at = 1; ; at++) {
    const fs = new FaultFs(new SimFs(), [{ at, errno: 'EIO' }])
    try {
      workload(fs)
      expect(fs.operationCount).toBe(at - 1)
      break
    } catch (error) {
      codes.push((error as { operation: string }).operation)
      expect(error).toMatchObject({ code: 'DRIFT_FS_EIO' })
    }
  }
  expect(codes).toEqual(['open', 'write', 'fdatasync', 'close', 'rename', 'syncFolder'])
})

test('a fault that filters by method counts that method alone', () => {
  const fs = new FaultFs(new SimFs(), [{ at: 2, errno: 'ENOSPC', operation: ['write', 'truncate'] }])
  const fd = fs.open('/a', 'create')
  fs.write(fd, TEN, 0)
  fs.fsync(fd)
  expect(() => fs.truncate(fd, 1)).toThrow(
    expect.objectContaining({ code: 'DRIFT_FS_ENOSPC', operation: 'truncate' }),
  )
  fs.write(fd, TEN, 0)
})

test('a fault hits once, or from its call on when it is forever', () => {
  for (const forever of [false, true]) {
    const fs = new FaultFs(new SimFs(), [{ at: 2, errno: 'EIO', operation: 'list', forever }])
    const failed = Array.from({ length: 4 }, () => {
      try {
        return fs.list('/').length
      } catch {
        return 'failed'
      }
    })
    expect(failed).toEqual(forever ? [0, 'failed', 'failed', 'failed'] : [0, 'failed', 0, 0])
  }
})

test('a failing write leaves the share of its bytes that was planned', () => {
  const sim = new SimFs()
  const fs = new FaultFs(sim, [{ at: 1, errno: 'ENOSPC', operation: 'write', written: 0.5 }])
  const fd = fs.open('/a', 'create')
  expect(() => fs.write(fd, TEN, 0)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_ENOSPC' }))
  expect(content(sim, '/a')).toEqual(TEN.subarray(0, 5))
})

test('a failing sync syncs nothing, and can drop the pages so that the next sync lies', () => {
  const sim = new SimFs()
  const fs = new FaultFs(sim, [{ at: 1, errno: 'EIO', operation: 'fsync', dropUnsynced: true }])
  const fd = fs.open('/a', 'create')
  fs.write(fd, TEN, 0)
  expect(() => fs.fsync(fd)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_EIO' }))
  fs.fsync(fd)
  fs.syncFolder('/')
  expect(content(sim.powerCut({ data: 'all' }), '/a')).toHaveLength(0)
})

test('a failing close has closed the descriptor', () => {
  const fs = new FaultFs(new SimFs(), [{ at: 1, errno: 'EIO', operation: 'close' }])
  const fd = fs.open('/a', 'create')
  expect(() => fs.close(fd)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_EIO' }))
  expect(() => fs.read(fd, TEN.slice(), 0)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_EBADF' }))
})

test('a write takes as many short writes as it needs', () => {
  for (const most of [1, 3, 9, 10, 100]) {
    const fs = new SimFs({ writeLimit: () => most })
    fs.write(fs.open('/a', 'create'), TEN, 2)
    expect(content(fs, '/a')).toEqual(Uint8Array.from([0, 0, ...TEN]))
  }
})

test('a device that takes no bytes is an error, not an endless loop', () => {
  const fs = new SimFs({ writeLimit: bytes => (bytes > 5 ? 5 : 0) })
  const fd = fs.open('/a', 'create')
  expect(() => fs.write(fd, TEN, 0)).toThrow(
    expect.objectContaining({ code: 'DRIFT_FS_EIO', message: expect.stringContaining('5 of 10 bytes') }),
  )
})

test('an errno that follows a short write is the error of the whole write', () => {
  const limit = (bytes: number): number => {
    if (bytes < 10) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    return 4
  }
  const fs = new SimFs({ writeLimit: limit })
  const fd = fs.open('/a', 'create')
  expect(() => fs.write(fd, TEN, 0)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_ENOSPC', path: '/a' }))
  expect(content(fs, '/a')).toEqual(TEN.subarray(0, 4))
})

test.each([
  { at: 0 },
  { at: -1 },
  { at: 1.5 },
  { at: Number.NaN },
  { at: 1, operation: 'sync' },
  { at: 1, operation: ['write', 'toString'] },
])('a fault that no call could meet, %j, is refused', fault => {
  const plan = [{ errno: 'EIO', ...fault }] as ConstructorParameters<typeof FaultFs>[1]
  expect(() => new FaultFs(new SimFs(), plan)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_EINVAL' }))
})
