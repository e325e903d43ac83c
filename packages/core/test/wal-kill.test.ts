/**
 * Proves on real files that a process killed at any moment has kept what it had acknowledged: a child appends and prints each
 * acknowledgement, is killed, and the log that it leaves is read, carried and continued by the next child.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NodeFs } from '@drift/fs'
import { expect, test } from 'vitest'
import { readWal } from '../src/wal/reader.js'
import { DATABASE, expectRecords, random, recordOf } from './wal-sample.js'

const RUNS = 6

/** Runs in the child, from the built package: the log in its thread, and in the loop many appends in flight. */
const CHILD = `
  import { NodeFs } from ${JSON.stringify(import.meta.resolve('@drift/fs'))}
  import { readWal, WalWriter } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)}
  const recordOf = ${recordOf.toString()}
  const folder = process.argv[1]
  const database = new Uint8Array(16).fill(0xdb)
  const fs = new NodeFs()
  const scan = readWal(fs, folder, { database, floorLsn: 1 })
  const wal = await WalWriter.open({
    fs, folder, database, thread: true, sync: 'always', fileBytes: 64 * 1024, nonce: () => process.hrtime.bigint(),
    firstFile: scan.end.file, firstLsn: scan.end.lsn, previous: scan.end, ...(!scan.clean && { carry: scan.records }),
  })
  for (let lsn = scan.end.lsn; ; lsn++) {
    wal.append(recordOf(lsn)).durable.then(() => process.stdout.write(lsn + '\\n'))
    if (lsn % 3 === 0) await new Promise(resolve => setImmediate(resolve))
    if (lsn % 64 === 0) await wal.sync()
  }
`

test('every acknowledgement of a killed process is found, run after run', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drift-wal-kill-'))
  const choose = random(11)
  let acknowledged = 0
  try {
    for (let run = 0; run < RUNS; run++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', CHILD, folder], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let output = ''
      const target = 10 + choose(400)
      let seen = 0
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk
        seen += chunk.filter(byte => byte === 10).length
        if (seen >= target) child.kill('SIGKILL')
      })
      await once(child, 'close')
      const acks = output.split('\n').slice(0, -1).map(Number)
      expect(acks.length).toBeGreaterThanOrEqual(target)
      acknowledged = Math.max(acknowledged, ...acks)
      const scan = readWal(new NodeFs(), folder, { database: DATABASE, floorLsn: 1 })
      expect(scan.end.lsn - 1, `run ${run}`).toBeGreaterThanOrEqual(acknowledged)
      expectRecords(scan, scan.end.lsn - 1, 1, `run ${run}`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
