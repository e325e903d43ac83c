/** Proves what callers behind a thread rely on: commands that were under way when the log failed do nothing any more. */

import { FaultFs } from '@drift/fs'
import { expect, test } from 'vitest'
import { newDisk, openLog, recordOf } from '../../test/wal-sample.js'
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
