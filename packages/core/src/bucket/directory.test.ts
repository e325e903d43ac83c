/**
 * Proves that buckets hold the rows that were put into them, that dead entries are dropped where they are a third of a bucket,
 * and that a reader of an older head still walks the chain it knew.
 */
import { BLOCK_ENTRIES, blockBytes, blockRowsAt } from '@drift/native'
import { beforeEach, expect, it } from 'vitest'
import { seededRandom } from '../random.js'
import { RowStore } from '../row-store.js'
import { Directory } from './directory.js'
import { NONE } from './extent.js'

let rows: RowStore
let directory: Directory
let limbo: (() => void)[]
/** Places that got a code, in order. */
let coded: number[]
/** Places that were copied from. */
let copied: number[]

beforeEach(() => {
  rows = new RowStore(1, 'l2')
  limbo = []
  coded = []
  copied = []
  directory = new Directory(rows, (free, head) => limbo.push(() => free(head)), writeEntries, compactEntries)
})

/** What the kernel does, but for the signs. */
function writeEntries(entries: Uint32Array, _buckets: Uint32Array, slots: Uint32Array, count: number): void {
  const { padded } = rows.rotation
  const words = new Uint32Array(directory.extents.slabs.blocks)
  for (let i = 0; i < count; i++) {
    const block = Math.floor(slots[i]! / BLOCK_ENTRIES)
    words[(block * blockBytes(padded)) / 4 + blockRowsAt(padded) + (slots[i]! % BLOCK_ENTRIES)] = entries[i]!
    coded.push(slots[i]!)
  }
}

function compactEntries(bucket: number, from: number, entries: number, to: number, room: number): number {
  const { extents } = directory
  const words = new Uint32Array(extents.slabs.blocks)
  const { padded } = rows.rotation
  const wordOf = (slot: number) =>
    (Math.floor(slot / BLOCK_ENTRIES) * blockBytes(padded)) / 4 + blockRowsAt(padded) + (slot % BLOCK_ENTRIES)
  const slotsOf = (head: number, count: number): number[] => {
    const slots: number[] = []
    for (let block = head; slots.length < count; block = extents.next[block]!) {
      for (let i = 0; i < BLOCK_ENTRIES && slots.length < count; i++) slots.push(block * BLOCK_ENTRIES + i)
    }
    return slots
  }
  const newest = new Map<number, number>()
  for (const slot of slotsOf(from, entries)) {
    const row = words[wordOf(slot)]!
    if (rows.home[row] !== bucket && rows.second[row] !== bucket) continue
    newest.delete(row)
    newest.set(row, slot)
  }
  const targets = slotsOf(to, room)
  for (const [row, slot] of [...newest].reverse()) {
    words[wordOf(targets.shift()!)] = row
    copied.push(slot)
  }
  return newest.size
}

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

function walk(head: number): number[] {
  return directory.extents.rowsOf(head).sort((a, b) => a - b)
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
      directory.append(bucket, NONE, row!)
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
    expect(directory.lives[bucket]).toBe(all(bucket).length)
    expect(directory.sizes[bucket]).toBe(walk(directory.heads[bucket]!).length)
  }

  function all(bucket: number): Uint32Array {
    return Uint32Array.from([...homes[bucket]!, ...guests[bucket]!]).sort()
  }
})

it('every entry gets its code before the step that made it ends', () => {
  for (let bucket = 0; bucket < 3; bucket++) directory.add()
  for (const row of liveRows(100)) {
    directory.append(0, 1, row)
    expect(coded).toHaveLength(2 * (row + 1))
  }
  expect(new Set(coded).size).toBe(200)
  directory.compact(0)
  expect(coded).toHaveLength(200) // copied
  expect(directory.rowsOf(0)).toHaveLength(100)
})

it("a bucket that is nobody's home is given away, and its guests keep their home", () => {
  directory.add()
  directory.add()
  const [guest, owner] = liveRows(2)
  directory.append(0, 1, guest!)
  directory.append(1, NONE, owner!)
  kill(owner!)
  expect(directory.takeEmpty()).toBe(1)
  expect(rows.second[guest!]).toBe(NONE)
  expect([...directory.rowsOf(1)]).toEqual([])
  expect([...directory.rowsOf(0)]).toEqual([guest])
})

it('dead entries never reach a third of a bucket and a block where it is tidied', () => {
  directory.add()
  const all = liveRows(1000)
  for (const row of all) directory.append(0, NONE, row)
  for (const row of all) {
    kill(row)
    directory.tidy(1)
    const blocks = chainBlocks(directory.heads[0]!)
    const live = directory.homesIn(0)
    expect(blocks * BLOCK_ENTRIES).toBeLessThanOrEqual(live / 0.7 + 2 * BLOCK_ENTRIES)
  }
  expect(directory.takeEmpty()).toBe(0)
  expect(directory.takeEmpty()).toBeUndefined()
})

it('deletes rewrite nothing, tidying rewrites as many buckets as it may, and what is all dead goes at once', () => {
  for (let bucket = 0; bucket < 3; bucket++) directory.add()
  const all = liveRows(300)
  for (const row of all) directory.append(row % 3, NONE, row)
  const sizes = () => [...directory.sizes.subarray(0, 3)]
  for (const row of all.subarray(0, 200)) kill(row)
  expect(sizes()).toEqual([100, 100, 100])
  directory.tidy(2)
  expect(sizes().filter(size => size === 100)).toHaveLength(1)
  directory.tidy(2)
  expect(sizes()).toEqual([...directory.lives.subarray(0, 3)])
  for (const row of all.subarray(200)) kill(row)
  expect(sizes()).toEqual([0, 0, 0])
  for (const row of liveRows(31)) directory.append(0, NONE, row)
  expect(directory.rowsOf(0)).toHaveLength(31)
})

it('a stale bucket is rewritten under the number that it got from one that went', () => {
  for (let bucket = 0; bucket < 3; bucket++) directory.add()
  const all = liveRows(100)
  for (const row of all) directory.append(2, NONE, row)
  for (const row of all.subarray(0, 60)) kill(row)
  directory.drop(0)
  directory.tidy(3)
  expect([...directory.sizes.subarray(0, 2)]).toEqual([40, 0])
  expect(directory.rowsOf(0)).toEqual(all.slice(60))
})

it('of a row that left and came back, rewriting keeps the newer entry', () => {
  directory.add()
  directory.add()
  const all = liveRows(64)
  for (const row of all) directory.append(0, NONE, row)
  const [back] = all
  rows.home[back!] = NONE
  directory.lost(0)
  directory.append(1, NONE, back!)
  rows.home[back!] = NONE
  directory.lost(1)
  directory.append(0, NONE, back!)
  const newest = coded.at(-1)!
  copied.length = 0
  directory.compact(0)
  expect(copied).toContain(newest)
  expect(copied).toHaveLength(64)
})

it('a bucket that was filled again is not given away as empty', () => {
  directory.add()
  const [first, second] = liveRows(2)
  directory.append(0, NONE, first!)
  kill(first!)
  directory.append(0, NONE, second!)
  expect(directory.takeEmpty()).toBeUndefined()
})

it('a replaced chain keeps its rows for readers of the older head until it is freed', () => {
  directory.add()
  const all = liveRows(100)
  for (const row of all) directory.append(0, NONE, row)
  const head = directory.heads[0]!
  for (const row of all.subarray(0, 70)) kill(row)
  directory.tidy(1)
  expect(directory.heads[0]).not.toBe(head)
  for (const row of liveRows(200)) directory.append(0, NONE, row)
  expect(walk(head)).toEqual([...all])
  expect(directory.rowsOf(0)).toHaveLength(230)

  const before = directory.bytes
  for (const free of limbo) free()
  for (const row of liveRows(100)) directory.append(0, NONE, row)
  expect(directory.bytes).toBe(before)
})

it('a row taken again counts in its new bucket only', () => {
  directory.add()
  directory.add()
  const all = liveRows(3)
  for (const row of all) directory.append(0, NONE, row)
  kill(all[1]!)
  rows.letGo(all[1]!)
  rows.free(all[1]!)
  const [again] = liveRows(1)
  expect(again).toBe(all[1])
  expect([...directory.rowsOf(0)]).toEqual([all[0], all[2]])
  directory.append(1, NONE, again!)
  expect([...directory.rowsOf(0)]).toEqual([all[0], all[2]])
  expect([...directory.rowsOf(1)]).toEqual([again])
})

function chainBlocks(head: number): number {
  let blocks = 0
  for (let block = head; block !== NONE; block = directory.extents.next[block]!) blocks++
  return blocks
}
