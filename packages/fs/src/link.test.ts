/** Proves that a link is a second name for the same bytes on every disk: it outlives the first name, and never replaces another file. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { FaultFs, NodeFs, SimFs } from './index.js'

const folder = mkdtempSync(join(tmpdir(), 'drift-link-'))
afterAll(() => rmSync(folder, { recursive: true }))

test.each([
  ['NodeFs', new NodeFs(), folder],
  ['SimFs', new SimFs(), '/'],
  ['FaultFs', new FaultFs(new SimFs(), []), '/'],
] as const)('on %s', (_, fs, root) => {
  const [a, b] = [join(root, 'a'), join(root, 'b')]
  const fd = fs.open(a, 'create')
  fs.write(fd, Uint8Array.of(1, 2, 3), 0)
  fs.fsync(fd)
  fs.close(fd)
  fs.link(a, b)
  expect(() => fs.link(a, b)).toThrow(expect.objectContaining({ code: 'DRIFT_FS_EEXIST' }))
  expect(() => fs.link(join(root, 'none'), join(root, 'c'))).toThrow(
    expect.objectContaining({ code: 'DRIFT_FS_ENOENT' }),
  )
  fs.remove(a)
  const read = fs.open(b, 'read')
  const bytes = new Uint8Array(3)
  expect(fs.read(read, bytes, 0)).toBe(3)
  expect([...bytes]).toEqual([1, 2, 3])
  fs.close(read)
})

test('a link is durable when its folder is', () => {
  const fs = new SimFs()
  const fd = fs.open('/a', 'create')
  fs.write(fd, Uint8Array.of(7), 0)
  fs.fsync(fd)
  fs.syncFolder('/')
  fs.link('/a', '/b')
  expect(fs.powerCut({ entries: 'none' }).stat('/b')).toBeUndefined()
  fs.syncFolder('/')
  expect(fs.powerCut({ data: 'none', entries: 'none' }).stat('/b')).toEqual({ kind: 'file', bytes: 1 })
})
