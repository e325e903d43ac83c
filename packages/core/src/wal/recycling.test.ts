/**
 * Proves that a log file which is recycled is like any other: nothing of its earlier life comes back, whatever is torn, damaged, removed or read
 * meanwhile.
 */

import { type Fault, FaultFs, type SimFs } from '@drift/fs'
import { expect, test } from 'vitest'
import {
  commit,
  content,
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
  upTo,
} from '../../test/wal-sample.js'
import {
  encodeClaim,
  FRAME_HEADER_BYTES,
  isWalDraft,
  PAGE_BYTES,
  walDraftName,
  walFileName,
} from './format.js'
import { inspectWal } from './inspect.js'
import type { WalLog } from './log.js'

/** Files 2 and 3 are filled in part: file 1 is recycled as file 3, and records from 301 on are needed. */
function recycledLog(fs: SimFs): WalLog {
  const log = openLog(fs)
  commit(log, 300, 300)
  log.removeBelow(301)
  expect(fs.list(FOLDER)).toEqual([walDraftName(1), walFileName(2)])
  commit(log, 3, 2)
  expect(fs.list(FOLDER)).toEqual([walFileName(2), walFileName(3)])
  return log
}

test('a file that nobody needs any more becomes the next one, and nothing of its earlier life comes back', () => {
  const fs = newDisk()
  const earlier = newDisk()
  commit(openLog(earlier), 300)
  const log = recycledLog(fs)
  const [from, to] = [3 * PAGE_BYTES, 6 * PAGE_BYTES]
  expect(content(fs, 3).subarray(from, to)).toEqual(content(earlier, 1).subarray(from, to))
  const scan = read(fs, { floorLsn: 301 })
  expectRecords(scan, 605, 301)
  expect(scan).toMatchObject({ clean: false, torn: undefined })
  const reports = [...inspectWal(fs, FOLDER)]
  expect(reports.map(({ frames }) => frames.map(({ state }) => state))).toEqual([
    ['whole', 'whole'],
    ['whole', 'whole'],
  ])
  log.close()
  const closed = read(fs, { floorLsn: 301 })
  expectRecords(closed, 605, 301)
  expect(closed).toMatchObject({ clean: true, torn: undefined })
  expect(fs.list(FOLDER)).toEqual([walFileName(2), walFileName(3)])
})

test('of files that nobody needs any more one is kept, of the full size and written here, until the log ends', () => {
  const fs = newDisk()
  const first = openLog(fs)
  commit(first, 300)
  first.rotate()
  commit(first, 1)
  first.close()
  const log = openLog(fs, { ...read(fs), nonce: 43n })
  log.removeBelow(302)
  expect(fs.list(FOLDER)).toEqual([walFileName(3)])
  log.append([new Uint8Array(SMALL_FILE)])
  commit(log, 1)
  for (let i = 0; i < 3; i++) {
    log.rotate()
    commit(log, 1)
  }
  const sizes = log.files().map(({ bytes }) => bytes / SMALL_FILE)
  expect(sizes).toEqual([1, expect.toSatisfy(size => size > 1), 1, 1, 1, 1])
  log.removeBelow(log.nextLsn)
  expect(fs.list(FOLDER)).toEqual([walDraftName(3), walFileName(8)])
  log.close()
  expect(fs.list(FOLDER)).toEqual([walFileName(8)])
})

test('a file that was kept to be recycled may be removed by others', () => {
  for (const isNeeded of [true, false]) {
    const fs = newDisk()
    const log = openLog(fs)
    commit(log, 300, 300)
    log.removeBelow(301)
    fs.remove(`${FOLDER}/${walDraftName(1)}`)
    if (isNeeded) commit(log, 5)
    const last = log.nextLsn - 1
    log.close()
    expectRecords(read(fs, { floorLsn: 301 }), last, 301)
  }
})

test('a recycled file that is torn or damaged is told as any other is', () => {
  const fs = newDisk()
  const log = recycledLog(fs)
  log.mark()
  log.append([recordOf(606)])
  const whole = content(fs, 3)
  patch(fs, 3, 4 * PAGE_BYTES + FRAME_HEADER_BYTES + 9, Uint8Array.of(0xff))
  expect(read(fs, { floorLsn: 301 }).torn).toEqual({ file: 3, offset: 4 * PAGE_BYTES })
  const [, report] = [...inspectWal(fs, FOLDER)]
  expect(report?.frames.map(({ state }) => state)).toEqual(['whole', 'whole', 'whole', 'payload'])
  patch(fs, 3, 2 * PAGE_BYTES + FRAME_HEADER_BYTES + 9, Uint8Array.of(0xff))
  expect(kindOf(() => read(fs, { floorLsn: 301 }))).toBe('lost')
  patch(fs, 3, 0, whole)
  patch(fs, 3, 16, new Uint8Array(512))
  expect(kindOf(() => read(fs, { floorLsn: 301 }))).toBe('header')
  expect([...inspectWal(fs, FOLDER)].map(({ header }) => header)).toEqual([expect.anything(), 'damaged'])
})

test('a file that cannot be recycled goes, and the log is as good as before', () => {
  const upToKept = (faults: readonly Fault[]) => {
    const fs = new FaultFs(newDisk(), faults)
    const log = openLog(fs)
    commit(log, 300, 300)
    log.removeBelow(301)
    return { fs, log }
  }
  const sound = upToKept([])
  const before = sound.fs.operationCount
  sound.log.prepareStep()
  expect(sound.fs.list(FOLDER)).toEqual([walFileName(2), walFileName(3)])
  // The last one is the sync of the folder that says the file is there, which is final.
  const last = sound.fs.operationCount - 2
  expect(last - before).toBeGreaterThan(5)
  for (let at = before + 1; at <= last; at++)
    for (const errno of ['ENOSPC', 'EIO']) {
      const { fs, log } = upToKept([{ at, errno }])
      expect(() => log.prepareStep()).toThrow(errno)
      commit(log, 200, 200)
      expectRecords(read(fs, { floorLsn: 301 }), 1000, 301)
      log.close()
      expect(fs.list(FOLDER).filter(isWalDraft)).toEqual([])
      expectRecords(read(fs, { floorLsn: 301 }), 1000, 301)
    }
})

/** Does something before the first read of more than a page. */
class BusyDisk extends FaultFs {
  #meanwhile: (() => void) | undefined

  constructor(disk: SimFs, meanwhile: () => void) {
    super(disk, [])
    this.#meanwhile = meanwhile
  }

  override read(fd: number, into: Uint8Array, offset: number): number {
    if (into.length > PAGE_BYTES) {
      this.#meanwhile?.()
      this.#meanwhile = undefined
    }
    return super.read(fd, into, offset)
  }
}

test('a file that is recycled while it is read is refused, also where new frames have replaced all of its own', () => {
  for (const frames of [0, 1, 2, 3]) {
    const fs = newDisk()
    const log = openLog(fs)
    commit(log, 3)
    const disk = new BusyDisk(fs, () => {
      log.rotate()
      commit(log, 1)
      log.removeBelow(4)
      if (frames === 0) log.prepareStep()
      else log.rotate()
      for (let i = 0; i < frames; i++) commit(log, 1)
      expect(fs.list(FOLDER)).toEqual([walFileName(2), walFileName(3)])
    })
    expect(kindOf(() => read(disk))).toMatch(/^(lost|header)$/)
    expectRecords(read(fs, { floorLsn: 4 }), 4 + frames, 4)
  }
})

test('a recycled file that was not begun is a file without frames, whatever became of its first page', () => {
  const fs = newDisk()
  const log = recycledLog(fs)
  commit(log, 200)
  log.removeBelow(601)
  while (log.wantsSpare) log.prepareStep()
  expect(fs.list(FOLDER)).toEqual([walFileName(3), walFileName(4)])
  for (const torn of [0, 512, 3 * 512]) {
    patch(fs, 4, torn, content(fs, 3).subarray(torn, torn + 512))
    const scan = read(fs, { floorLsn: 601 })
    expectRecords(scan, 805, 601)
    expect(scan.end.file).toBe(4)
    expect([...inspectWal(fs, FOLDER)].at(-1)?.header).toBe('blank')
  }
})

// As a reader beside the writer may meet one that it listed, or holds open, before.
test('a file that was claimed for a later number is not one that was never begun', () => {
  const fs = newDisk()
  const log = openLog(fs)
  commit(log, 3)
  log.rotate()
  commit(log, 2)
  expect(lsns(read(fs).records)).toEqual(upTo(5))
  patch(fs, 2, 0, encodeClaim(3))
  expect(kindOf(() => read(fs))).toBe('header')
  patch(fs, 2, 0, encodeClaim(2))
  expect(lsns(read(fs).records)).toEqual(upTo(3))
})
