/**
 * Proves that buckets hold the rows that were put into them, that dead entries are dropped before they are a third of a bucket,
 * and that a reader of an older head still walks the chain it knew.
 */
import { beforeEach, expect, it } from 'vitest'
import { seededRandom } from '../random.js'
import { RowStore } from '../row-store.js'
import { Scratch } from '../search/scratch.js'
import { type EntryFilter, rowsOfChain } from './bucket.js'
import { Directory } from './directory.js'
import { BLOCK_ENTRIES, NONE } from './extent.js'

let rows: RowStore
let directory: Directory
let limbo: (() => void)[]

beforeEach(() => {
  rows = new RowStore(1, 'l2')
  limbo = []
  directory = new Directory(rows, free => limbo.push(free))
})

function liveRows(count: number): Uint32Array {
  const taken = rows.take(count)
  for (const row of taken) rows.enliven(row)
  return taken
}

function kill(row: number): void {
  const home = rows.home[row]!
  const second = rows.second[row]!
  rows.kill(row)
  rows.home[row] = NONE
  rows.second[row] = NONE
  if (home !== NONE) directory.lost(home)
  if (second !== NONE) directory.lostSecond(second)
}

function walk(head: number, live: Uint32Array, bucket: number, filter?: EntryFilter): number[] {
  const room = new Scratch(1)
  const end = rowsOfChain(directory.extents, head, live, filter, bucket, rows.rows, room, 0)
  return [...room.rows.subarray(0, end)].sort((a, b) => a - b)
}

it('buckets agree with sets over random placing, dying and moving', () => {
  const random = seededRandom(5)
  const homes = Array.from({ length: 6 }, () => new Set<number>())
  const guests = Array.from({ length: 6 }, () => new Set<number>())
  for (let bucket = 0; bucket < 6; bucket++) expect(directory.add()).toBe(bucket)
  for (let step = 0; step < 4000; step++) {
    const bucket = Math.floor(random() * 6)
    const other = (bucket + 1 + Math.floor(random() * 5)) % 6
    const members = homes[bucket]!
    if (random() < 0.55 || members.size === 0) {
      const [row] = liveRows(1)
      directory.append(bucket, row!)
      members.add(row!)
      if (random() < 0.8) {
        directory.appendSecond(other, row!)
        guests[other]!.add(row!)
      }
    } else if (random() < 0.97) {
      const row = [...members][Math.floor(random() * members.size)]!
      kill(row)
      members.delete(row)
      for (const set of guests) set.delete(row)
    } else {
      for (const row of members) {
        if (random() < 0.5 || guests[other]!.has(row)) continue
        members.delete(row)
        homes[other]!.add(row)
        rows.home[row] = other
      }
      for (const half of [other, bucket]) directory.rewrite(half, all(half))
    }
    for (const free of limbo.splice(0)) if (random() < 0.8) free()
    expect(directory.homesIn(bucket)).toBe(members.size)
    expect(directory.rowsOf(bucket)).toEqual(all(bucket))
  }

  function all(bucket: number): Uint32Array {
    return Uint32Array.from([...homes[bucket]!, ...guests[bucket]!]).sort()
  }
})

it('a row met in its second bucket is left out when its home is scanned too', () => {
  directory.add()
  directory.add()
  const both = liveRows(10)
  for (const row of both) {
    directory.append(0, row)
    directory.appendSecond(1, row)
  }
  const filter = { home: rows.home, second: rows.second, marks: Uint32Array.of(7, 7), mark: 7 }
  expect(walk(directory.heads[0]!, rows.live, 0, filter)).toEqual([...both])
  expect(walk(directory.heads[1]!, rows.live, 1, filter)).toEqual([])
  expect(walk(directory.heads[1]!, rows.live, 1, { ...filter, marks: Uint32Array.of(0, 7) })).toEqual([
    ...both,
  ])
})

it("a bucket that is nobody's home is given away, and its guests keep their home", () => {
  directory.add()
  directory.add()
  const [guest, owner] = liveRows(2)
  directory.append(0, guest!)
  directory.appendSecond(1, guest!)
  directory.append(1, owner!)
  kill(owner!)
  expect(directory.takeEmpty()).toBe(1)
  expect(rows.second[guest!]).toBe(NONE)
  expect([...directory.rowsOf(1)]).toEqual([])
  expect([...directory.rowsOf(0)]).toEqual([guest])
})

it('dead entries never reach a third of a bucket and a block', () => {
  directory.add()
  const all = liveRows(1000)
  for (const row of all) directory.append(0, row)
  for (const row of all) {
    kill(row)
    const blocks = chainBlocks(directory.heads[0]!)
    const live = directory.homesIn(0)
    expect(blocks * BLOCK_ENTRIES).toBeLessThanOrEqual(live / 0.7 + 2 * BLOCK_ENTRIES)
  }
  expect(directory.takeEmpty()).toBe(0)
  expect(directory.takeEmpty()).toBeUndefined()
})

it('a bucket that was filled again is not given away as empty', () => {
  directory.add()
  const [first, second] = liveRows(2)
  directory.append(0, first!)
  kill(first!)
  directory.append(0, second!)
  expect(directory.takeEmpty()).toBeUndefined()
})

it('a replaced chain keeps its rows for readers of the older head until it is freed', () => {
  directory.add()
  const all = liveRows(100)
  for (const row of all) directory.append(0, row)
  const head = directory.heads[0]!
  const live = rows.live.slice()
  for (const row of all.subarray(0, 70)) kill(row)
  expect(directory.heads[0]).not.toBe(head)
  for (const row of liveRows(200)) directory.append(0, row)
  expect(walk(head, live, 0)).toEqual([...all])
  expect(
    walk(directory.heads[0]!, rows.live, 0, {
      home: rows.home,
      second: rows.second,
      marks: undefined,
      mark: 0,
    }),
  ).toHaveLength(230)

  const before = directory.bytes
  for (const free of limbo) free()
  for (const row of liveRows(100)) directory.append(0, row)
  expect(directory.bytes).toBe(before)
})

it('a row taken again counts in its new bucket only', () => {
  directory.add()
  directory.add()
  const all = liveRows(3)
  for (const row of all) directory.append(0, row)
  kill(all[1]!)
  rows.letGo(all[1]!)
  rows.free(all[1]!)
  const [again] = liveRows(1)
  expect(again).toBe(all[1])
  expect([...directory.rowsOf(0)]).toEqual([all[0], all[2]])
  directory.append(1, again!)
  expect([...directory.rowsOf(0)]).toEqual([all[0], all[2]])
  expect([...directory.rowsOf(1)]).toEqual([again])
})

function chainBlocks(head: number): number {
  let blocks = 0
  for (let block = head; block !== NONE; block = directory.extents.next[block]!) blocks++
  return blocks
}
