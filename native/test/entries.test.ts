// collectRows is set arithmetic over chains: every variant finds what walking them by hand finds.
import { describe, expect, it } from 'vitest'
import { kernelsOf, NativeError, supportedVariants } from '../lib/index.js'
import { random } from './random.js'

const NONE = 0xffff_ffff
const ROWS = 500
const BUCKETS = 20

describe.each(supportedVariants())('%s', variant => {
  const { collectRows } = kernelsOf(variant)

  it('finds the rows that count, each bucket in order of its chain', () => {
    const { below } = random(4)
    for (let round = 0; round < 50; round++) {
      const home = Uint32Array.from({ length: ROWS }, () => (below(10) ? below(BUCKETS) : NONE))
      const second = home.map(at =>
        at !== NONE && below(3) ? (at + 1 + below(BUCKETS - 1)) % BUCKETS : NONE,
      )
      const lists = Array.from({ length: BUCKETS }, () =>
        Array.from({ length: below(100) }, () => below(ROWS)),
      )
      const { entries, next, heads } = chainsOf(lists, below)
      const buckets = Uint32Array.from(lists.keys()).filter(() => below(2) === 0)
      const marks = Uint32Array.from(lists, (_, bucket) => (buckets.includes(bucket) ? 7 : 6))
      const rowLimit = ROWS - below(50)
      const want = [...buckets].flatMap(bucket =>
        lists[bucket]!.filter(
          row =>
            row < rowLimit && (home[row] === bucket || (second[row] === bucket && marks[home[row]!] !== 7)),
        ),
      )
      const out = new Uint32Array(want.length + 1).fill(99)
      const collect = (into: Uint32Array): number =>
        collectRows(entries, next, heads, buckets, buckets.length, home, second, marks, 7, rowLimit, into)
      expect(collect(out)).toBe(want.length)
      expect([...out]).toEqual([...want, 99])
      const short = new Uint32Array(Math.floor(want.length / 2))
      expect(collect(short)).toBe(want.length)
      expect([...short]).toEqual(want.slice(0, short.length))
    }
  })

  it('ends on a chain that runs in a circle', () => {
    const entries = new Uint32Array(64).fill(1)
    const words = Uint32Array.of(0, 0)
    const found = collectRows(
      entries,
      Uint32Array.of(1, 0),
      words,
      words,
      1,
      words,
      words,
      words,
      1,
      2,
      new Uint32Array(4),
    )
    expect(found).toBe(64)
  })

  it('refuses memory that is too small', () => {
    const none = new Uint32Array(0)
    const one = new Uint32Array(1)
    expect(() => collectRows(none, one, one, one, 1, one, one, one, 0, 1, one)).toThrow(NativeError)
    expect(() => collectRows(none, none, one, one, 1, none, one, one, 0, 1, one)).toThrow(NativeError)
    expect(() => collectRows(none, none, none, one, 1, one, one, one, 0, 1, one)).toThrow(NativeError)
  })
})

/** The lists as chains, their blocks anywhere. */
function chainsOf(lists: readonly number[][], below: (limit: number) => number) {
  const blocks = lists.flatMap((list, bucket) =>
    Array.from({ length: Math.ceil(list.length / 32) }, (_, i) => ({
      bucket,
      rows: list.slice(i * 32, i * 32 + 32),
    })),
  )
  const places = [...blocks.keys()]
  for (let i = places.length - 1; i > 0; i--) {
    const j = below(i + 1)
    ;[places[i], places[j]] = [places[j]!, places[i]!]
  }
  const entries = new Uint32Array(blocks.length * 32).fill(NONE)
  const next = new Uint32Array(blocks.length).fill(NONE)
  const heads = new Uint32Array(lists.length).fill(NONE)
  for (const [i, { bucket, rows }] of blocks.entries()) {
    entries.set(rows, places[i]! * 32)
    if (i > 0 && blocks[i - 1]!.bucket === bucket) next[places[i - 1]!] = places[i]!
    else heads[bucket] = places[i]!
  }
  return { entries, next, heads }
}
