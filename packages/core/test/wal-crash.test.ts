/**
 * Proves the promise of the log on a disk that keeps only what was synced: after a power cut at any operation, also of a recovery, the
 * log is a prefix of what was written and holds everything that was acknowledged.
 */

import type { SimFs } from '@drift/fs'
import { expect, test } from 'vitest'
import { inspectWal } from '../src/wal/inspect.js'
import type { WalScan } from '../src/wal/reader.js'
import { commit, expectRecords, FOLDER, newDisk, openLog, random, read } from './wal-sample.js'

interface CrashPoint {
  readonly disk: SimFs
  readonly acknowledged: number
  readonly written: number
  readonly floor: number
  readonly label: string
}

/** A disk after a crash, and what its log gave. */
interface Origin {
  readonly point: CrashPoint
  readonly scan: WalScan
}

type Progress = Pick<CrashPoint, 'acknowledged' | 'written' | 'floor'>

/**
 * Writes, rotates, marks, prepares and removes on `fs`, when it `recycles` little else than the last three; calls `progress` whenever more is
 * acknowledged or written.
 */
function workload(
  fs: SimFs,
  from: Origin | undefined,
  seed: number,
  recycles: boolean,
  progress: (state: Progress) => void,
): void {
  const choose = random(seed)
  const found = (from?.scan.end.lsn ?? 1) - 1
  // What was found and never acknowledged may still be in memory only, until the new log carries it.
  const state = { acknowledged: from?.point.acknowledged ?? 0, written: found, floor: from?.point.floor ?? 1 }
  progress(state)
  const log = openLog(fs, { ...from?.scan, nonce: BigInt(seed) })
  state.acknowledged = found
  for (let step = 0; step < 12; step++) {
    const count = 1 + choose(choose(4) === 0 ? 120 : 6)
    state.written = log.nextLsn + count - 1
    progress(state)
    commit(log, count)
    state.acknowledged = state.written
    progress(state)
    const action = recycles ? 1 + choose(3) : choose(6)
    if (action === 0 && log.wantsMark) log.mark()
    if (action === 1) log.rotate()
    if (action === 2 && log.wantsSpare) log.prepareStep()
    if (action === 3) {
      state.floor = Math.max(state.floor, state.acknowledged - choose(20))
      progress(state)
      log.removeBelow(state.floor)
    }
  }
  log.close()
}

/** Runs a workload and cuts the power before every operation, in `variants` ways. */
function crashPoints(
  from: Origin | undefined,
  seed: number,
  variants: number,
  recycles = false,
): CrashPoint[] {
  const points: CrashPoint[] = []
  let state: Progress = { acknowledged: 0, written: 0, floor: 1 }
  let armed = false
  const before = (operation: string, _path: string, count: number): void => {
    if (!armed) return
    for (let variant = 0; variant < variants; variant++) {
      const fixed = ['none', 'all'] as const
      const cut =
        variant < 4
          ? { data: fixed[variant & 1]!, entries: fixed[variant >> 1]! }
          : { seed: seed * 1_000_003 + count * 31 + variant }
      points.push({
        disk: fs.powerCut(cut),
        ...state,
        label: `seed ${seed}, before ${operation} ${count}, variant ${variant}`,
      })
    }
    points.push({
      disk: fs.processKill(),
      ...state,
      label: `seed ${seed}, killed before ${operation} ${count}`,
    })
  }
  const fs: SimFs = from ? from.point.disk.processKill({ before }) : newDisk({ before })
  armed = true
  workload(fs, from, seed, recycles, now => {
    state = { ...now }
  })
  return points
}

function expectRecovery({ disk, acknowledged, written, floor, label }: CrashPoint): WalScan {
  const scan = read(disk, { floorLsn: floor })
  const last = scan.end.lsn - 1
  expectRecords(scan, last, floor, label)
  if (last < acknowledged || last > written)
    expect.fail(`${label}: recovered up to ${last}, acknowledged ${acknowledged}, written ${written}`)
  return scan
}

test('a power cut at every operation leaves a prefix with every acknowledged batch', {
  timeout: 300_000,
}, () => {
  let states = 0
  for (let seed = 1; seed <= 4; seed++)
    for (const point of crashPoints(undefined, seed, 10)) {
      expectRecovery(point)
      states += 1
    }
  expect(states).toBeGreaterThan(2000)
})

test('a power cut during or after a recovery loses nothing either', { timeout: 300_000 }, () => {
  const choose = random(99)
  let states = 0
  const first = [7, 8, 9].flatMap(seed => crashPoints(undefined, seed, 10)).filter(() => choose(300) === 0)
  for (const point of first) {
    const scan = expectRecovery(point)
    for (const second of crashPoints({ point, scan }, 1000 + states, 5)) {
      expectRecovery({ ...second, label: `${point.label}; then ${second.label}` })
      states += 1
    }
  }
  expect(states).toBeGreaterThan(2000)
})

test('a power cut at every operation loses nothing while files are recycled, nor does one of the recovery', {
  timeout: 300_000,
}, () => {
  const choose = random(7)
  let states = 0
  let recycled = 0
  for (let seed = 21; seed <= 24; seed++)
    for (const point of crashPoints(undefined, seed, 10, true)) {
      const scan = expectRecovery(point)
      states += 1
      for (const { header, frames } of inspectWal(point.disk, FOLDER)) {
        if (header === 'damaged') expect.fail(`${point.label}: a file is called damaged`)
        if (typeof header !== 'string' && header.isRecycled && frames.length > 0) recycled += 1
      }
      if (choose(400) > 0) continue
      for (const second of crashPoints({ point, scan }, 2000 + states, 5, true))
        expectRecovery({ ...second, label: `${point.label}; then ${second.label}` })
    }
  expect(recycled).toBeGreaterThan(states / 8)
})

// The last frame says that the log ended cleanly, and was in memory only: the next file then followed one that ended earlier on disk.
test('a log that was killed while it closed, opened again and then cut from power, holds what was acknowledged', () => {
  const killed: SimFs[] = []
  let isClosing = false
  const fs: SimFs = newDisk({ before: () => isClosing && killed.push(fs.processKill()) })
  const log = openLog(fs)
  commit(log, 3)
  isClosing = true
  log.close()
  expect(killed.length).toBeGreaterThan(1)
  let clean = 0
  for (const disk of killed) {
    const scan = read(disk)
    if (scan.clean) clean++
    const next = openLog(disk, { ...scan, nonce: 43n })
    commit(next, 1)
    expectRecords(read(disk.powerCut({ data: 'none', entries: 'none' })), 4)
  }
  expect(clean).toBeGreaterThan(0)
})
