/**
 * Proves what callers behind a thread rely on: commands that were under way when the log failed do nothing any more, and those that
 * found no room on the disk wait, keep their order and come through whole when there is room.
 */

import { FaultFs } from '@drift/fs'
import { expect, test } from 'vitest'
import { lsns, newDisk, openLog, read, recordOf, upTo } from '../../test/wal-sample.js'
import { PAGE_BYTES } from './format.js'
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

test('giving up what waits for room fails the log and loses nothing that was acknowledged', () => {
  const sim = newDisk({ capacity: 20 * PAGE_BYTES })
  const replies: WalReply[] = []
  const loop = new GroupCommit(openLog(sim), QUIET, reply => replies.push(reply))
  loop.run([{ kind: 'giveUp' }])
  expect(replies).toEqual([])
  for (let lsn = 1; lsn <= 10; lsn++) loop.run([{ kind: 'append', records: [recordOf(lsn, 6000)] }])
  loop.run([{ kind: 'giveUp' }])
  expect(replies.at(-1)).toMatchObject({ kind: 'failed', error: { code: 'DRIFT_FS_ENOSPC' } })
  expect(lsns(read(sim).records)).toEqual(upTo(lastDurable(replies)))
})

const QUIET = { sync: 'always', markAfterMs: Number.POSITIVE_INFINITY, preparesFiles: false } as const

function lastDurable(replies: readonly WalReply[]): number {
  return replies.reduce((last, reply) => (reply.kind === 'durable' ? reply.lsn : last), 0)
}
