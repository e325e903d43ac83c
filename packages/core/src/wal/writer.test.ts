/**
 * Proves how the log treats its callers: LSNs at once, acknowledgements in order and only when they are true, few frames for many appends, and
 * one final error. The same cases run inline on a simulated disk and in a thread on a real one.
 */

import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { type DriftFs, type Fault, FaultFs, NodeFs, SimFs } from '@drift/fs'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { DATABASE, FOLDER, lsns, newDisk, random, recordOf, SMALL_FILE, upTo } from '../../test/wal-sample.js'
import { MAX_PAYLOAD_BYTES } from './format.js'
import { WalThread } from './port.js'
import { readWal, type WalScan } from './reader.js'
import { HIGH_WATER_BYTES, WalWriter, type WalWriterOptions } from './writer.js'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

interface Place {
  readonly fs: DriftFs
  readonly folder: string
  readonly thread: boolean
}

function simulated(): Place {
  return { fs: newDisk(), folder: FOLDER, thread: false }
}

function real(): Place {
  const folder = mkdtempSync(join(tmpdir(), 'drift-wal-'))
  folders.push(folder)
  return { fs: new NodeFs(), folder, thread: true }
}

async function open(place: Place, options: Partial<WalWriterOptions> = {}): Promise<WalWriter> {
  const position = { firstFile: 1, firstLsn: 1, nonce: () => 5n, sync: 'always' as const }
  return WalWriter.open({ ...place, database: DATABASE, fileBytes: SMALL_FILE, ...position, ...options })
}

function read({ fs, folder }: Place, floorLsn = 1): WalScan {
  return readWal(fs, folder, { database: DATABASE, floorLsn })
}

function expectAll(scan: WalScan, last: number): void {
  expect(lsns(scan.records)).toEqual(upTo(last))
  for (const { lsn, bytes } of scan.records)
    expect(Buffer.compare(bytes, recordOf(lsn)), `record ${lsn}`).toBe(0)
}

/** The number of frames that hold records. */
function frames(place: Place): number {
  return read(place).end.batch - 1
}

describe.each([
  ['inline on a simulated disk', simulated],
  ['in a thread on a real disk', real],
])('%s', (_name, make) => {
  test('a record that fails while it is written has no LSN, and those around it are whole', async () => {
    const place = make()
    const wal = await open(place)
    for (let lsn = 1; lsn <= 30; lsn++) {
      expect(wal.append(recordOf(lsn)).lsn).toBe(lsn)
      const fails = (): void => {
        throw new RangeError('no memory')
      }
      expect(() => wal.write(lsn * 40, fails)).toThrow('no memory')
      if (lsn % 7 === 0) await wal.append(recordOf(++lsn)).durable
    }
    await wal.sync()
    expect(wal.pendingBytes).toBe(0)
    await wal.close()
    expectAll(read(place), 30)
  })

  test('LSNs come at once and in order, and so do the acknowledgements', async () => {
    const place = make()
    const seen: (number | string)[] = []
    const wal = await open(place, { onDurable: lsn => seen.push(lsn) })
    for (let lsn = 1; lsn <= 40; lsn++) {
      const appended = wal.append(recordOf(lsn))
      expect(appended.lsn).toBe(lsn)
      void appended.durable.then(() => seen.push(`${lsn}`))
      if (lsn % 4 === 0) await appended.durable
    }
    await wal.close()
    const hooks = seen.filter(item => typeof item === 'number')
    expect(hooks).toEqual([...hooks].sort((a, b) => a - b))
    expect(seen.filter(item => typeof item === 'string').map(Number)).toEqual(upTo(40))
    for (const lsn of upTo(40)) {
      const hook = seen.findIndex(item => typeof item === 'number' && item >= lsn)
      expect(hook).toBeGreaterThanOrEqual(0)
      expect(hook, `LSN ${lsn}`).toBeLessThan(seen.indexOf(`${lsn}`))
    }
    const scan = read(place)
    expect(scan.clean).toBe(true)
    expectAll(scan, 40)
  })

  test('appends of one turn share frames: inline one, and in a thread those that came while it wrote the first', async () => {
    const place = make()
    const wal = await open(place, { fileBytes: 256 * 1024, markAfterMs: Number.POSITIVE_INFINITY })
    await Promise.all(upTo(500).map(lsn => wal.append(recordOf(lsn)).durable))
    await wal.close()
    expectAll(read(place), 500)
    expect(frames(place)).toBeLessThanOrEqual(place.thread ? 50 : 1)
  })

  test('rotation and removal keep their place among the appends', async () => {
    const place = make()
    const wal = await open(place)
    wal.append(recordOf(1))
    const rotated = wal.rotate()
    wal.append(recordOf(2))
    wal.append(recordOf(3))
    const again = wal.rotate()
    const { durable } = wal.append(recordOf(4))
    await Promise.all([rotated, again, durable])
    expect(wal.files().map(({ file, firstLsn }) => [file, firstLsn])).toEqual([
      [1, 1],
      [2, 2],
      [3, 4],
    ])
    await wal.removeBelow(4)
    expect(wal.files()).toEqual([{ file: 3, firstLsn: 4, bytes: SMALL_FILE }])
    await wal.close()
    expect(lsns(read(place, 4).records)).toEqual([4])
  })

  test('a log goes on where the one before it ended, cleanly or not', async () => {
    const place = make()
    let scan: WalScan | undefined
    for (let round = 1; round <= 4; round++) {
      const from = scan && { firstFile: scan.end.file, firstLsn: scan.end.lsn, previous: scan.end }
      const carry = scan && round % 2 === 0 ? { carry: scan.records } : {}
      const wal = await open(place, { ...from, ...carry, nonce: () => BigInt(round) })
      for (const lsn of upTo(round * 60, round * 60 - 59)) wal.append(recordOf(lsn))
      await wal.sync()
      await wal.close()
      scan = read(place)
      expectAll(scan, round * 60)
    }
  })

  test('the modes without a sync per group acknowledge after the write, and sync() makes it durable', async () => {
    for (const sync of ['os', { intervalMs: 5 }] as const) {
      const place = make()
      const wal = await open(place, { sync })
      await wal.append(recordOf(1)).durable
      await wal.append(recordOf(2)).durable
      await wal.sync()
      if (place.fs instanceof SimFs) {
        const fs = place.fs.powerCut({ data: 'none', entries: 'none' })
        expectAll(read({ ...place, fs }), 2)
      }
      await wal.close()
      expectAll(read(place), 2)
    }
  })

  test('a batch above the limit is refused and takes no LSN', async () => {
    const wal = await open(make())
    expect(() => wal.append(new Uint8Array(MAX_PAYLOAD_BYTES - 7))).toThrow(
      expect.objectContaining({ code: 'DRIFT_BATCH_TOO_LARGE' }),
    )
    expect(wal.append(recordOf(1)).lsn).toBe(1)
    await wal.close()
  })

  test('a record of no bytes and one of several MiB come back', async () => {
    const place = make()
    const wal = await open(place)
    wal.append(new Uint8Array(0))
    wal.append(new Uint8Array(5 << 20).fill(3))
    wal.append(recordOf(3))
    await wal.close()
    const records = [...read(place).records]
    expect(records.map(({ bytes }) => bytes.length)).toEqual([0, 5 << 20, recordOf(3).length])
    expect(records[1]?.bytes.every(byte => byte === 3)).toBe(true)
  })

  test('more than is kept on the way at once waits, in order, and so does a record larger than all of that', async () => {
    const place = make()
    const wal = await open(place, { fileBytes: 4 << 20 })
    const large = (HIGH_WATER_BYTES >> 20) + 1
    const sizes = [
      ...upTo(3000).map(() => 40),
      large << 20,
      1 << 20,
      large << 20,
      ...upTo(1500).map(() => 24),
    ]
    const order: number[] = []
    const promises = sizes.map((bytes, i) => {
      const { lsn, durable } = wal.append(new Uint8Array(bytes).fill(i % 251))
      return durable.then(() => order.push(lsn))
    })
    const rotated = wal.rotate()
    promises.push(wal.append(new Uint8Array(8)).durable.then(() => order.push(sizes.length + 1)))
    await Promise.all([...promises, rotated])
    expect(order).toEqual(upTo(sizes.length + 1))
    expect(wal.pendingBytes).toBe(0)
    expect(wal.files().at(-1)?.firstLsn).toBe(sizes.length + 1)
    await wal.close()
    const scan = read(place)
    expect(lsns(scan.records)).toEqual(order)
    for (const [i, { bytes }] of [...scan.records].slice(0, -1).entries()) {
      if (bytes.length !== sizes[i] || bytes.some(byte => byte !== i % 251)) expect.fail(`record ${i + 1}`)
    }
  })

  test('a record that is part of a larger memory is logged alone', async () => {
    const place = make()
    const wal = await open(place)
    const arena = new Uint8Array(1000)
    for (const lsn of [1, 2, 3]) {
      const view = arena.subarray(lsn * 200, lsn * 200 + recordOf(lsn).length)
      view.set(recordOf(lsn))
      wal.append(view)
    }
    await wal.close()
    expectAll(read(place), 3)
  })

  test('back-pressure: drained waits above the high-water mark and pendingBytes returns to none', async () => {
    const wal = await open(make(), { fileBytes: 4 << 20 })
    await wal.drained()
    for (let sent = 0; sent <= HIGH_WATER_BYTES; sent += 1 << 20) wal.append(new Uint8Array(1 << 20))
    expect(wal.pendingBytes).toBeGreaterThan(HIGH_WATER_BYTES)
    await wal.drained()
    expect(wal.pendingBytes).toBeLessThan(HIGH_WATER_BYTES)
    await wal.sync()
    expect(wal.pendingBytes).toBe(0)
    await wal.close()
  })

  test('after close everything is refused, and close may be repeated', async () => {
    const wal = await open(make())
    const { durable } = wal.append(recordOf(1))
    const closed = wal.close()
    expect(wal.close()).toBe(closed)
    expect(() => wal.append(recordOf(2))).toThrow(expect.objectContaining({ code: 'DRIFT_WAL_CLOSED' }))
    await expect(wal.sync()).rejects.toMatchObject({ code: 'DRIFT_WAL_CLOSED' })
    await Promise.all([durable, closed])
  })

  test('a folder that does not exist fails the opening with its own error', async () => {
    await expect(open({ ...make(), folder: '/nowhere/at/all' })).rejects.toMatchObject({
      code: 'DRIFT_FS_ENOENT',
    })
  })
})

async function openFaulty(
  sim: SimFs,
  plan: Fault[],
  options: Partial<WalWriterOptions> = {},
): Promise<WalWriter> {
  return open({ fs: new FaultFs(sim, plan), folder: FOLDER, thread: false }, options)
}

test('a failed sync is final: no retry, every waiter and every later call gets the same error with its cause', async () => {
  const sim = newDisk()
  // The first sync is the file header's.
  const wal = await openFaulty(sim, [{ at: 3, errno: 'EIO', operation: 'fdatasync', dropUnsynced: true }])
  await wal.append(recordOf(1)).durable
  const waiting = [wal.append(recordOf(2)).durable, wal.append(recordOf(3)).durable, wal.sync(), wal.rotate()]
  const before = await Promise.allSettled(waiting)
  const after = await Promise.allSettled([wal.sync(), wal.rotate(), wal.removeBelow(9), wal.drained()])
  for (const result of [...before, ...after])
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'DRIFT_WAL_FAILED' } })
  expect(wal.failed).toMatchObject({
    code: 'DRIFT_WAL_FAILED',
    cause: { code: 'DRIFT_FS_EIO', operation: 'fdatasync' },
  })
  expect(() => wal.append(recordOf(4))).toThrow(wal.failed)
  const operations = sim.operationCount
  await wal.close()
  expect(sim.operationCount).toBe(operations)
  expectAll(read({ fs: sim, folder: FOLDER, thread: false }), 1)
})

test('an error at any operation, once or for ever, loses no acknowledged batch and acknowledges no lost one', async () => {
  let failures = 0
  for (const errno of ['EIO', 'ENOSPC', 'EDQUOT', 'EMFILE'])
    for (const forever of [false, true])
      for (let at = 1; ; at++) {
        const sim = newDisk()
        const fault = { at, errno, forever, written: 0.5, dropUnsynced: true }
        const message = JSON.stringify(fault)
        let acknowledged = 0
        let wal: WalWriter | undefined
        try {
          wal = await openFaulty(sim, [fault], {
            onDurable: lsn => {
              acknowledged = lsn
            },
            // A disk that stays full makes its callers give up; else what waits for room comes through.
            onStall: () => (forever ? wal?.giveUp() : wal?.retry()),
          })
          for (let lsn = 1; lsn <= 6; lsn++) {
            await wal.append(recordOf(lsn, 6000)).durable
            if (lsn === 3) await wal.rotate()
            if (lsn === 5) await wal.removeBelow(1)
          }
        } catch (error) {
          expect(error, message).toMatchObject({
            code: expect.stringMatching(/^DRIFT_(WAL_FAILED|DISK_FULL|FS_)/),
          })
        }
        const closed = await wal?.close().then(
          () => true,
          () => false,
        )
        for (let seed = 0; seed < 4; seed++) {
          const fs = sim.powerCut({ seed })
          const scan = read({ fs, folder: FOLDER, thread: false })
          expect(lsns(scan.records).length, `${message}, seed ${seed}`).toBeGreaterThanOrEqual(acknowledged)
        }
        if (acknowledged === 6 && closed && !wal?.failed) break
        failures += 1
      }
  expect(failures).toBeGreaterThan(60)
})

test('a failed removal fails alone', async () => {
  const wal = await openFaulty(newDisk(), [{ at: 1, errno: 'EIO', operation: 'remove' }])
  for (const lsn of [1, 2]) {
    wal.append(recordOf(lsn))
    await wal.rotate()
  }
  await expect(wal.removeBelow(3)).rejects.toMatchObject({ code: 'DRIFT_FS_EIO' })
  await wal.append(recordOf(3)).durable
  await wal.removeBelow(3)
  expect(wal.files().map(({ file }) => file)).toEqual([3])
  await wal.close()
})

test('a mark follows the last acknowledgement when the log is idle, so that damage to it is found', async () => {
  let marked: (() => void) | undefined
  const idle = new Promise<void>(resolve => {
    marked = resolve
  })
  let acknowledged = false
  const fs: SimFs = newDisk({ before: operation => operation === 'write' && acknowledged && marked?.() })
  const place = { fs, folder: FOLDER, thread: false }
  const wal = await open(place, { markAfterMs: 1 })
  await wal.append(recordOf(1)).durable
  acknowledged = true
  await idle
  await wal.sync()
  expect(frames(place)).toBe(1) // One data frame and, after it, the mark.
  const fd = fs.open(`${FOLDER}/wal-0000000000000001.drw`, 'write')
  fs.write(fd, new Uint8Array(512), 4096)
  expect(() => read(place)).toThrow(expect.objectContaining({ code: 'DRIFT_WAL_CORRUPT' }))
  await wal.close()
})

test('the interval mode syncs by itself', async () => {
  let synced: (() => void) | undefined
  const sync = new Promise<void>(resolve => {
    synced = resolve
  })
  let acknowledged = false
  const fs: SimFs = newDisk({ before: operation => operation === 'fdatasync' && acknowledged && synced?.() })
  const place = { fs, folder: FOLDER, thread: false }
  const wal = await open(place, { sync: { intervalMs: 1 } })
  await wal.append(recordOf(1)).durable
  expect(lsns(read({ ...place, fs: fs.powerCut({ data: 'none' }) }).records)).toEqual([])
  acknowledged = true
  await sync
  expectAll(read({ ...place, fs: fs.powerCut({ data: 'none' }) }), 1)
  await wal.close()
})

test('appends that arrive during a sync form the next frame, so a thread commits many with few syncs', async () => {
  const place = real()
  const wal = await open(place, { fileBytes: 4 << 20, markAfterMs: Number.POSITIVE_INFINITY })
  const choose = random(3)
  const durable: Promise<void>[] = []
  for (let lsn = 1; lsn <= 400; lsn++) {
    durable.push(wal.append(recordOf(lsn)).durable)
    // A turn of the event loop: each lone append is sent by itself.
    if (choose(3) === 0) await new Promise(resolve => setImmediate(resolve))
  }
  await Promise.all(durable)
  await wal.close()
  expectAll(read(place), 400)
  // A frame a turn at most, some 135; fewer where a sync takes longer than a turn.
  expect(frames(place)).toBeLessThan(200)
})

test('a sync mode that there is not is refused, and does not mean never', async () => {
  const modes = ['Always', 'fsync', '', undefined, null, 5, {}, { intervalMs: '5' }]
  for (const ms of [0, -1, Number.NaN, 2 ** 31]) modes.push({ intervalMs: ms } as never)
  for (const sync of modes) {
    const place = simulated()
    await expect(open(place, { sync: sync as never })).rejects.toMatchObject({ code: 'DRIFT_WAL_ARGUMENT' })
    expect(place.fs.list(place.folder)).toEqual([])
  }
  await expect(open(simulated(), { nonce: (() => 5) as never })).rejects.toMatchObject({
    code: 'DRIFT_WAL_ARGUMENT',
  })
})

test('what is no bytes is not logged as zeros, and takes no LSN', async () => {
  const place = simulated()
  const wal = await open(place)
  const refused = expect.objectContaining({ code: 'DRIFT_WAL_ARGUMENT' })
  for (const record of [
    '{"a":1}',
    [1, 2],
    Uint16Array.of(300),
    Float32Array.of(1),
    new ArrayBuffer(2),
    undefined,
  ])
    expect(() => wal.append(record as never)).toThrow(refused)
  for (const bytes of [-1, 1.5, Number.NaN, '5', undefined])
    expect(() => wal.write(bytes as never, () => {})).toThrow(refused)
  expect(wal.append(recordOf(1)).lsn).toBe(1)
  await wal.close()
  expectAll(read(place), 1)
})

test('a thread needs a real disk', async () => {
  await expect(open({ ...simulated(), thread: true })).rejects.toMatchObject({ code: 'DRIFT_WAL_ARGUMENT' })
})

test('the end of the thread is a failure like any other', async () => {
  let thread: Worker | undefined
  process.once('worker', worker => {
    thread = worker
  })
  const place = real()
  const wal = await open(place)
  await wal.append(recordOf(1)).durable
  await thread?.terminate()
  const late = async (): Promise<void> => wal.append(recordOf(2)).durable
  await expect(late()).rejects.toMatchObject({ code: 'DRIFT_WAL_FAILED' })
  expect(() => wal.append(recordOf(3))).toThrow(wal.failed)
  await wal.close()
  expect(lsns(read(place).records)[0]).toBe(1)
})

test('a thread prepares the next file while it commits', async () => {
  const place = real()
  const wal = await open(place, { fileBytes: 64 * 1024, markAfterMs: Number.POSITIVE_INFINITY })
  for (let lsn = 1; lsn <= 40; lsn++) await wal.append(recordOf(lsn)).durable
  await wal.close()
  expect(wal.files().length).toBeGreaterThan(2)
  expectAll(read(place), 40)
})

test('a log that is made early shows no name before its time, and none at all when its thread is ended first', async () => {
  const place = real()
  const left = await open({ ...place, thread: false })
  for (let lsn = 1; lsn <= 40; lsn++) await left.append(recordOf(lsn)).durable
  const { end, records } = read(place)
  const next = { firstFile: end.file, firstLsn: end.lsn, previous: end, carry: records }
  const names = () => readdirSync(place.folder).filter(name => name.includes(`${end.file}.drw`))
  const drafted = () =>
    vi.waitFor(() => expect(names()).toEqual([expect.stringMatching(/^tmp-wal-/)]), 30_000)

  const given = new WalThread()
  void open({ ...place }, { ...next, thread: given, until: new Promise(() => {}) })
  await drafted()
  await given.end()
  expect(names()).toEqual([])

  let publish = (): void => {}
  const until = new Promise<void>(resolve => {
    publish = resolve
  })
  const opening = open({ ...place }, { ...next, thread: new WalThread(), until })
  await drafted()
  publish()
  const wal = await opening
  expect(names()).toEqual([expect.stringMatching(/^wal-/)])
  await wal.append(recordOf(41)).durable
  await wal.close()
  expectAll(read(place), 41)
})
