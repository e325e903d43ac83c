/** Proves what a log gives back: everything after a clean end, the acknowledged prefix of a torn one, and an error, never less, after damage. */

import type { SimFs } from '@drift/fs'
import { expect, test } from 'vitest'
import {
  commit,
  content,
  DATABASE,
  expectRecords,
  FOLDER,
  kindOf,
  lsns,
  newDisk,
  openLog,
  patch,
  read,
  recordOf,
  SMALL_FILE,
  ThreadedDisk,
  upTo,
} from '../../test/wal-sample.js'
import { FRAME_HEADER_BYTES, PAGE_BYTES, walFileName } from './format.js'
import { WalLog } from './log.js'
import type { WalScan } from './reader.js'

test('records of no bytes, of many frames and of several files come back in order', () => {
  const fs = newDisk()
  const log = openLog(fs)
  commit(log, 1, 5, 300, 1, 80, 2)
  log.close()
  const scan = read(fs)
  expectRecords(scan, 389)
  expect(scan.clean).toBe(true)
  expect(scan.torn).toBeUndefined()
  expect(scan.files.length).toBeGreaterThan(2)
  expect(lsns(read(fs, { floorLsn: 200 }).records)).toEqual(upTo(389, 200))
})

test('a record of no bytes and one of several MiB come back, the large one in a file of its size', () => {
  const fs = newDisk()
  const log = openLog(fs)
  const large = new Uint8Array(3 << 20).map((_, index) => index % 251)
  for (const record of [new Uint8Array(0), large, Uint8Array.of(7)]) {
    log.append([record])
    log.sync()
  }
  log.close()
  const [empty, middle, last] = [...read(fs).records]
  expect(empty?.bytes).toHaveLength(0)
  expect(Buffer.compare(middle!.bytes, large)).toBe(0)
  expect(last).toEqual({ lsn: 3, bytes: Uint8Array.of(7) })
})

test('an empty folder is an empty log, unless records are needed that no file holds', () => {
  const fs = newDisk()
  expect(read(fs)).toMatchObject({ clean: true, end: { file: 1, lsn: 1, batch: 0 }, files: [] })
  expect(kindOf(() => read(fs, { floorLsn: 5 }))).toBe('missing')
  expect(kindOf(() => read(fs, { durableLsn: 1 }))).toBe('lost')
})

test('the files of one writer after another are one log', () => {
  const fs = newDisk()
  let scan: WalScan | undefined
  for (let round = 1; round <= 4; round++) {
    const log = openLog(fs, { ...scan, nonce: BigInt(round) })
    commit(log, 3, 2)
    log.close()
    scan = read(fs)
    expectRecords(scan, round * 5)
  }
  expect(scan?.end).toMatchObject({ file: 5, lsn: 21, previousFile: 4 })
})

test('a writer never begins in or over a file that is in use', () => {
  const fs = newDisk()
  openLog(fs).close()
  expect(() => openLog(fs)).toThrow(expect.objectContaining({ code: 'DRIFT_WAL_EXISTS' }))
})

test('options that make no log are refused', () => {
  const fs = newDisk()
  for (const wrong of [
    { fileBytes: 4096 },
    { fileBytes: 20_000 },
    { database: new Uint8Array(15) },
    { firstFile: 0 },
    { firstLsn: 1.5 },
  ])
    expect(() =>
      WalLog.open({ fs, folder: FOLDER, database: DATABASE, nonce: 1n, firstFile: 1, firstLsn: 1, ...wrong }),
    ).toThrow(expect.objectContaining({ code: 'DRIFT_WAL_ARGUMENT' }))
})

test('rotation starts a new file for later records, once, and removal keeps what is needed', () => {
  const fs = newDisk()
  const log = openLog(fs)
  log.rotate()
  expect(log.files()).toEqual([{ file: 1, firstLsn: 1, bytes: SMALL_FILE }])
  commit(log, 4)
  log.rotate()
  log.rotate()
  commit(log, 4)
  log.rotate()
  commit(log, 4)
  expect(log.files().map(({ firstLsn }) => firstLsn)).toEqual([1, 5, 9])
  log.removeBelow(8)
  expect(log.files().map(({ file }) => file)).toEqual([2, 3])
  log.removeBelow(100)
  expect(log.files().map(({ file }) => file)).toEqual([3])
  log.close()
  expect(fs.list(FOLDER)).toEqual([walFileName(3)])
  expectRecords(read(fs, { floorLsn: 9 }), 12, 9)
  expect(kindOf(() => read(fs, { floorLsn: 8 }))).toBe('missing')
})

test('a prepared file is used by the next rotation, ignored by readers and gone after a clean end', () => {
  const fs = newDisk()
  const log = openLog(fs)
  commit(log, 300)
  while (log.wantsSpare) log.prepareStep()
  expect(fs.list(FOLDER)).toEqual([walFileName(1), walFileName(2)])
  expect(read(fs)).toMatchObject({ clean: false, end: { file: 2, lsn: 301 } })
  const before = fs.operationCount
  commit(log, 300)
  expect(log.files()).toHaveLength(2)
  expect(fs.operationCount - before).toBeLessThan(10)
  while (log.wantsSpare) log.prepareStep()
  log.close()
  expect(fs.list(FOLDER)).toEqual([walFileName(1), walFileName(2)])
  expectRecords(read(fs), 600)
})

test("a file that another thread prepares is the next one when it is whole, and nobody's when it is needed before", async () => {
  for (const isInTime of [true, false]) {
    const fs = new ThreadedDisk(newDisk())
    const log = openLog(fs)
    commit(log, 300)
    const preparing = log.prepareAside()
    if (isInTime) {
      fs.turn()
      await preparing
      expect(fs.list(FOLDER)).toEqual([walFileName(1), walFileName(2)])
      expect(log.wantsSpare).toBe(false)
      commit(log, 300)
    } else {
      commit(log, 300, 100)
      fs.turn()
      await preparing
    }
    expect(log.files().length).toBeGreaterThan(1)
    const count = log.nextLsn - 1
    log.close()
    expect(fs.list(FOLDER)).toEqual(log.files().map(({ file }) => walFileName(file)))
    expectRecords(read(fs), count)
    expect(fs.openFiles).toBe(0)
  }
})

test('a file that another thread finds no room for leaves the log as it was', async () => {
  const fs = new ThreadedDisk(newDisk())
  const log = openLog(fs)
  commit(log, 300)
  const preparing = log.prepareAside()
  fs.turn('no room')
  await expect(preparing).rejects.toMatchObject({ code: 'DRIFT_FS_ENOSPC' })
  expect(fs.list(FOLDER)).toEqual([walFileName(1)])
  commit(log, 300)
  log.close()
  expectRecords(read(fs), 600)
  expect(fs.openFiles).toBe(0)
})

test('a spare and a draft that a crash left are replaced by the next writer', () => {
  const fs = newDisk()
  const log = openLog(fs)
  commit(log, 300)
  while (log.wantsSpare) log.prepareStep()
  const crashed = fs.processKill()
  crashed.close(crashed.open(`${FOLDER}/tmp-${walFileName(9)}`, 'create'))
  const next = openLog(crashed, read(crashed))
  commit(next, 2)
  next.close()
  expectRecords(read(crashed), 302)
  expect(crashed.list(FOLDER)).toEqual([walFileName(1), walFileName(2)])
})

test('other names in the folder are left alone', () => {
  const fs = newDisk()
  for (const name of ['LOCK', 'wal-1.drw', 'wal-0000000000000001.drw.bak'])
    fs.close(fs.open(`${FOLDER}/${name}`, 'create'))
  const log = openLog(fs)
  commit(log, 1)
  log.close()
  expectRecords(read(fs), 1)
  expect(fs.list(FOLDER)).toHaveLength(4)
})

test('the log of another database is refused', () => {
  const fs = newDisk()
  openLog(fs).close()
  expect(kindOf(() => read(fs, { database: new Uint8Array(16) }))).toBe('database')
})

test('a missing, exchanged or shortened file is damage', () => {
  const build = (): SimFs => {
    const fs = newDisk()
    const log = openLog(fs)
    for (let round = 0; round < 3; round++) {
      commit(log, 2)
      log.rotate()
    }
    commit(log, 1)
    log.close()
    return fs
  }
  const path = (file: number): string => `${FOLDER}/${walFileName(file)}`
  expectRecords(read(build()), 7)
  const cases: Record<string, (fs: SimFs) => void> = {
    missing: fs => fs.remove(path(2)),
    header: fs => fs.rename(path(2), path(3)),
    truncated: fs => fs.truncate(fs.open(path(4), 'write'), SMALL_FILE - 1),
  }
  for (const [kind, harm] of Object.entries(cases)) {
    const fs = build()
    harm(fs)
    expect(kindOf(() => read(fs))).toBe(kind)
  }
  for (let bytes = 0; bytes < SMALL_FILE; bytes += 512) {
    const fs = build()
    fs.truncate(fs.open(path(4), 'write'), bytes)
    expect(
      kindOf(() => read(fs)),
      `cut to ${bytes}`,
    ).toBe('truncated')
  }
  const fs = build()
  fs.remove(path(1))
  expect(kindOf(() => read(fs))).toBe('missing')
  const newest = build()
  newest.remove(path(4))
  expect(kindOf(() => read(newest))).toBe('missing')
  expectRecords(read(fs, { floorLsn: 3 }), 7, 3)
})

test('a whole file of an earlier life under the same number does not link', () => {
  const fs = newDisk()
  const first = openLog(fs, { nonce: 1n })
  commit(first, 2)
  first.rotate()
  commit(first, 2)
  first.close()
  const other = newDisk()
  const second = openLog(other, { nonce: 2n })
  commit(second, 2)
  second.rotate()
  commit(second, 2)
  second.close()
  patch(fs, 2, 0, content(other, 2))
  expect(kindOf(() => read(fs))).toBe('link')
})

test('every flipped bit is refused or leaves every record as it was', { timeout: 120_000 }, () => {
  for (const [ending, file] of [
    ['shutdown', 1],
    ['mark', 1],
    ['mark', 3],
  ] as const) {
    const fs = newDisk()
    const log = openLog(fs, { fileBytes: 6 * PAGE_BYTES })
    const floorLsn = file === 1 ? 1 : 201
    if (file > 1) {
      commit(log, 100)
      log.rotate()
      commit(log, 100)
      log.removeBelow(101)
      log.rotate()
      log.removeBelow(201)
    }
    commit(log, 2, 1)
    log.append([recordOf(floorLsn + 3)])
    log.sync()
    if (ending === 'mark') log.mark()
    else log.close()
    const whole = content(fs, file)
    // What carries meaning: the file header (all its bits are flipped in format.test.ts) and three data frames of one page each.
    const view = new DataView(whole.buffer)
    const meaningful = (byte: number): boolean => {
      const frame = Math.floor(byte / PAGE_BYTES)
      const used =
        frame === 0 ? PAGE_BYTES : FRAME_HEADER_BYTES + view.getUint32(frame * PAGE_BYTES + 8, true)
      return frame <= 3 && byte % PAGE_BYTES < used
    }
    const fd = fs.open(`${FOLDER}/${walFileName(file)}`, 'write')
    const one = new Uint8Array(1)
    for (let byte = 0; byte < whole.length; byte++) {
      // All bits where they mean something, one in sixteen bytes where they should not.
      const bits =
        meaningful(byte) || (byte % PAGE_BYTES < 64 && byte < 6 * PAGE_BYTES) ? 8 : byte % 16 === 0 ? 1 : 0
      for (let bit = 0; bit < bits; bit++) {
        one[0] = whole[byte]! ^ (1 << bit)
        fs.write(fd, one, byte)
        fs.fdatasync(fd)
        const where = `file ${file}, ${ending}, byte ${byte}, bit ${bit}`
        let scan: WalScan | undefined
        try {
          scan = read(fs, { floorLsn })
        } catch (error) {
          if ((error as { code?: string }).code !== 'DRIFT_WAL_CORRUPT') throw error
        }
        if (meaningful(byte) && scan) expect.fail(`accepted: ${where}`)
        if (scan && lsns(scan.records).length !== 4) expect.fail(`lost: ${where}`)
        if (scan)
          for (const { lsn, bytes } of scan.records)
            if (Buffer.compare(bytes, recordOf(lsn))) expect.fail(where)
      }
      one[0] = whole[byte]!
      if (bits > 0) fs.write(fd, one, byte)
      if (bits > 0) fs.fdatasync(fd)
    }
  }
})

test('a torn last frame is dropped at every sector, and every acknowledged batch stays', () => {
  const fs = newDisk()
  const log = openLog(fs, { fileBytes: 16 * PAGE_BYTES })
  commit(log, 3)
  const acknowledged = fs.processKill()
  commit(log, 150)
  const complete = content(fs, 1)
  const start = 2 * PAGE_BYTES
  const end = complete.findLastIndex(byte => byte !== 0) + 1
  expect(end - start).toBeGreaterThan(2 * PAGE_BYTES)
  const base = content(acknowledged, 1)
  for (let sector = start; sector < end; sector += 512) {
    const onlyBefore = base.slice()
    onlyBefore.set(complete.subarray(start, sector), start)
    const allButThis = complete.slice()
    allButThis.fill(0, sector, sector + 512)
    const onlyFrom = complete.slice()
    onlyFrom.fill(0, start, sector + 512)
    for (const torn of [onlyBefore, allButThis, onlyFrom]) {
      const disk = acknowledged.processKill()
      patch(disk, 1, 0, torn)
      const scan = read(disk)
      expectRecords(scan, 3, 1, `sector ${sector}`)
      expect(scan.clean).toBe(false)
      if (!torn.subarray(start).every(byte => byte === 0))
        expect(scan.torn).toEqual({ file: 1, offset: start })
    }
  }
})

test('a lost mark with a torn batch after it is a torn tail, and a lost batch before a mark is damage', () => {
  const fs = newDisk()
  const log = openLog(fs)
  commit(log, 2)
  log.mark()
  log.append([recordOf(3)])
  const disk = fs.processKill()
  patch(disk, 1, 2 * PAGE_BYTES, new Uint8Array(PAGE_BYTES))
  expectRecords(read(disk), 2)
  patch(disk, 1, PAGE_BYTES, new Uint8Array(PAGE_BYTES))
  expect(kindOf(() => read(disk))).toBe('lost')
})

test('damage before the end of a file that another follows is reported where it is', () => {
  const fs = newDisk()
  const log = openLog(fs)
  commit(log, 2)
  log.rotate()
  log.close()
  // Both frames of the first file: what is left of it knows nothing.
  patch(fs, 1, PAGE_BYTES, new Uint8Array(2 * PAGE_BYTES))
  expect(() => read(fs)).toThrow(
    expect.objectContaining({
      details: { file: `${FOLDER}/${walFileName(1)}`, offset: PAGE_BYTES, kind: 'lost' },
    }),
  )
})

test('records that the caller knows to be durable may not be missing', () => {
  const fs = newDisk()
  const log = openLog(fs)
  commit(log, 2)
  const disk = fs.processKill()
  expectRecords(read(disk, { durableLsn: 2 }), 2)
  patch(disk, 1, PAGE_BYTES, new Uint8Array(PAGE_BYTES))
  expectRecords(read(disk), 0)
  expect(kindOf(() => read(disk, { durableLsn: 2 }))).toBe('lost')
})

test('a torn tail that the next file has left behind stays a torn tail', () => {
  const fs = newDisk()
  const log = openLog(fs)
  commit(log, 2)
  log.append([recordOf(3)])
  const disk = fs.processKill()
  patch(disk, 1, 2 * PAGE_BYTES, new Uint8Array(20))
  const { end } = read(disk)
  const next = openLog(disk, { end, nonce: 2n })
  commit(next, 2)
  next.close()
  expectRecords(read(disk), 4)
})

test('a carried log stands for the files before it, and a lower floor still reads through them', () => {
  const fs = newDisk()
  const log = openLog(fs)
  commit(log, 4)
  log.rotate()
  commit(log, 4)
  log.rotate()
  commit(log, 1)
  const disk = fs.processKill()
  const next = openLog(disk, read(disk, { floorLsn: 6 }))
  expect(next.files().map(({ firstLsn }) => firstLsn)).toEqual([1, 5, 9, 6])
  commit(next, 2)
  expectRecords(read(disk, { floorLsn: 6 }), 11, 6)
  expectRecords(read(disk, { floorLsn: 3 }), 11, 3)
  next.removeBelow(6)
  next.close()
  expect(disk.list(FOLDER)).toEqual([walFileName(4)])
  expectRecords(read(disk, { floorLsn: 6 }), 11, 6)
})

test('damage to the last carried batch is found, although nothing was written after it', () => {
  const fs = newDisk()
  commit(openLog(fs), 3)
  const disk = fs.processKill()
  openLog(disk, read(disk))
  const after = disk.powerCut({ data: 'none', entries: 'none' })
  expectRecords(read(after), 3)
  patch(after, 2, PAGE_BYTES, new Uint8Array(PAGE_BYTES))
  expect(kindOf(() => read(after))).toBe('lost')
})

test('a clean end makes durable what was only written', () => {
  const fs = newDisk()
  const log = openLog(fs)
  log.append([recordOf(1)])
  log.close()
  const scan = read(fs.powerCut({ data: 'none', entries: 'none' }))
  expectRecords(scan, 1)
  expect(scan.clean).toBe(true)
})

test('a valid frame of another history of the same file breaks the chain', () => {
  const [ours, other] = [3, 4].map(count => {
    const fs = newDisk()
    const log = openLog(fs)
    log.append([recordOf(1, count)])
    log.append([recordOf(2)])
    log.close()
    return fs
  }) as [SimFs, SimFs]
  patch(ours, 1, 2 * PAGE_BYTES, content(other, 1).subarray(2 * PAGE_BYTES, 3 * PAGE_BYTES))
  expect(kindOf(() => read(ours))).toBe('chain')
})
