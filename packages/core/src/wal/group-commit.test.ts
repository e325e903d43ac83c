/**
 * Proves what callers behind a thread rely on: commands that were under way when the log failed do nothing any more, and those that
 * found no room on the disk wait, keep their order and come through whole when there is room.
 */

import { FaultFs, FsError, type SimFs } from '@drift/fs'
import { expect, test } from 'vitest'
import { FOLDER, lsns, newDisk, openLog, read, recordOf, ThreadedDisk, upTo } from '../../test/wal-sample.js'
import { PAGE_BYTES, walFileName } from './format.js'
import { GroupCommit, type WalReply } from './group-commit.js'

test('after a failure later commands touch no file and get no reply', () => {
  const sim = newDisk()
  // The first sync is the file header's.
  const log = openLog(new FaultFs(sim, [{ at: 2, errno: 'EIO', operation: 'fdatasync' }]))
  const replies: WalReply[] = []
  const loop = new GroupCommit(log, { sync: 'always', markAfterMs: 1, preparesFiles: true }, reply =>
    replies.push(reply),
  )
  loop.run([
    { kind: 'append', records: [recordOf(1)] },
    { kind: 'sync', id: 1 },
  ])
  expect(replies.map(({ kind }) => kind)).toEqual(['failed'])
  const operations = sim.operationCount
  loop.run([
    { kind: 'append', records: [recordOf(2)] },
    { kind: 'rotate', id: 2 },
    { kind: 'close', id: 3 },
  ])
  expect(replies).toHaveLength(1)
  expect(sim.operationCount).toBe(operations)
})

test('a disk without room stalls the log at any point of it, and room lets everything through in order', async () => {
  let stalls = 0
  for (let capacity = 9 * PAGE_BYTES; capacity < 40 * PAGE_BYTES; capacity += 6000) {
    const sim = newDisk({ capacity })
    const log = openLog(sim)
    const replies: WalReply[] = []
    const loop = new GroupCommit(log, QUIET, reply => replies.push(reply))
    for (let lsn = 1; lsn <= 12; lsn++) loop.run([{ kind: 'append', records: [recordOf(lsn, 6000)] }])
    loop.run([{ kind: 'rotate', id: 1 }])
    const acknowledged = lastDurable(replies)
    const stalled = replies.findLast(({ kind }) => kind === 'stalled')
    if (stalled) stalls += 1
    expect(stalled ?? {}, `capacity ${capacity}`).toMatchObject(
      stalled ? { error: { code: 'DRIFT_FS_ENOSPC' } } : {},
    )
    // What was acknowledged is there whatever happens now, and what waits is not there in part.
    expect(lsns(read(sim.powerCut({ data: 'none' })).records)).toEqual(upTo(acknowledged))
    expect(lsns(read(sim.processKill()).records)).toEqual(upTo(acknowledged))

    sim.capacity = Number.POSITIVE_INFINITY
    loop.run([{ kind: 'retry' }, { kind: 'append', records: [recordOf(13)] }])
    expect(lastDurable(replies), `capacity ${capacity}`).toBe(13)
    loop.run([{ kind: 'close', id: 2 }])
    const scan = read(sim)
    expect(scan.clean).toBe(true)
    expect(lsns(scan.records)).toEqual(upTo(13))
  }
  expect(stalls).toBeGreaterThan(5)
})

test('removing old files makes room for what waits, ahead of its turn', () => {
  const sim = newDisk({ capacity: 20 * PAGE_BYTES })
  const loop = new GroupCommit(openLog(sim), QUIET, reply => replies.push(reply))
  const replies: WalReply[] = []
  for (let lsn = 1; lsn <= 10; lsn++) loop.run([{ kind: 'append', records: [recordOf(lsn, 6000)] }])
  expect(replies.at(-1)).toMatchObject({ kind: 'stalled' })
  const acknowledged = lastDurable(replies)
  loop.run([{ kind: 'removeBelow', id: 1, lsn: acknowledged }])
  expect(lastDurable(replies)).toBeGreaterThan(acknowledged)
})

test('what waits for room and is given up is not in the log, which ends whole with everything that was acknowledged', () => {
  const sim = newDisk({ capacity: 20 * PAGE_BYTES })
  const replies: WalReply[] = []
  const loop = new GroupCommit(openLog(sim), QUIET, reply => replies.push(reply))
  for (let lsn = 1; lsn <= 10; lsn++) loop.run([{ kind: 'append', records: [recordOf(lsn, 6000)] }])
  expect(replies.at(-1)).toMatchObject({ kind: 'stalled' })
  const acknowledged = lastDurable(replies)
  loop.run([{ kind: 'giveUp' }, { kind: 'close', id: 2 }])
  expect(replies.slice(-2)).toMatchObject([
    { kind: 'dropped', lsn: acknowledged + 1, error: { code: 'DRIFT_FS_ENOSPC' } },
    { kind: 'done', id: 2 },
  ])
  const scan = read(sim)
  expect(scan.clean).toBe(true)
  expect(lsns(scan.records)).toEqual(upTo(acknowledged))
})

test('a log that has given up before it finds no room does not wait for it', () => {
  const replies: WalReply[] = []
  const loop = new GroupCommit(openLog(newDisk({ capacity: 20 * PAGE_BYTES })), QUIET, reply =>
    replies.push(reply),
  )
  loop.run([{ kind: 'giveUp' }])
  expect(replies).toEqual([])
  const records = Array.from({ length: 10 }, (_, i) => recordOf(i + 1, 6000))
  // One that is small enough for what is left of the file comes too late all the same.
  for (const record of [...records, new Uint8Array(8)]) loop.run([{ kind: 'append', records: [record] }])
  loop.run([{ kind: 'sync', id: 1 }])
  expect(replies.map(({ kind }) => kind)).not.toContain('stalled')
  expect(replies.at(-1)).toMatchObject({ kind: 'done', id: 1 })
  expect(replies.find(({ kind }) => kind === 'dropped')).toMatchObject({ lsn: lastDurable(replies) + 1 })
})

test('a frame that was written but for its padding is taken back when it is given up', () => {
  const sim = newDisk()
  const fs = new ShortOfPadding(sim)
  const log = openLog(fs)
  const replies: WalReply[] = []
  const loop = new GroupCommit(log, QUIET, reply => replies.push(reply))
  loop.run([{ kind: 'append', records: [recordOf(1)] }])
  fs.short = true
  loop.run([{ kind: 'append', records: [recordOf(2)] }])
  expect(replies.at(-1)).toMatchObject({ kind: 'stalled' })
  expect(lsns(read(sim).records)).toEqual(upTo(2))
  fs.short = false
  loop.run([{ kind: 'giveUp' }])
  expect(replies.at(-1)).toMatchObject({ kind: 'dropped', lsn: 2 })
  for (const disk of [sim, sim.powerCut({ data: 'none' })]) expect(lsns(read(disk).records)).toEqual(upTo(1))
})

test('the end waits for the file that another thread prepares, and leaves nothing of it', async () => {
  const disk = new ThreadedDisk(newDisk())
  const replies: WalReply[] = []
  const loop = new GroupCommit(openLog(disk), { ...QUIET, preparesFiles: true }, reply => replies.push(reply))
  loop.run([{ kind: 'append', records: [recordOf(1, 5 * PAGE_BYTES)] }])
  expect(loop.isPreparing).toBe(true)
  loop.run([{ kind: 'close', id: 1 }])
  expect(loop.ended).toBe(false)
  disk.turn()
  await new Promise(resolve => setImmediate(resolve))
  expect(replies.at(-1)).toEqual({ kind: 'done', id: 1 })
  expect(loop.ended).toBe(true)
  expect(disk.openFiles).toBe(0)
  expect(disk.list(FOLDER)).toEqual([walFileName(1)])
  expect(read(disk)).toMatchObject({ clean: true, end: { lsn: 2 } })
})

test('the log ends, and says why, as soon as the name of the file that is prepared may not be on disk', async () => {
  for (const errno of ['EIO', 'ENOSPC']) {
    const sim = newDisk()
    // The first sync of the folder is of the first file's name.
    const fs = new FaultFs(sim, [{ at: 2, errno, operation: 'syncFolder' }])
    const replies: WalReply[] = []
    const loop = new GroupCommit(openLog(fs), { ...QUIET, preparesFiles: true }, reply => replies.push(reply))
    loop.run([{ kind: 'append', records: [recordOf(1, 5 * PAGE_BYTES)] }])
    while (loop.isPreparing) await new Promise(resolve => setImmediate(resolve))
    expect(replies).toMatchObject([
      { kind: 'durable', lsn: 1 },
      { kind: 'failed', error: { code: `DRIFT_FS_${errno}`, operation: 'syncFolder' } },
    ])
    expect(loop.ended).toBe(true)
    expect(lsns(read(sim.powerCut({ data: 'none', entries: 'none' })).records)).toEqual([1])
  }
})

/** Refuses the last byte of a page that is written, as a quota may. */
class ShortOfPadding extends FaultFs {
  short = false

  constructor(disk: SimFs) {
    super(disk, [])
  }

  override write(fd: number, bytes: Uint8Array, offset: number): void {
    super.write(fd, this.short ? bytes.subarray(0, -1) : bytes, offset)
    if (this.short)
      throw new FsError('DRIFT_FS_ENOSPC', 'no room for the last byte', { operation: 'write', path: 'log' })
  }
}

const QUIET = { sync: 'always', markAfterMs: Number.POSITIVE_INFINITY, preparesFiles: false } as const

function lastDurable(replies: readonly WalReply[]): number {
  return replies.reduce((last, reply) => (reply.kind === 'durable' ? reply.lsn : last), 0)
}
