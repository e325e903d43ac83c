// Proves that the table behaves as a Map of ids to rows through every mix of calls, that a row tells its id until it
// is released, and that memory follows what is held: per integer id, and per byte of live text.
import { describe, expect, it } from 'vitest'
import { encodeId, type Id } from './id.js'
import { IdColumn } from './id-column.js'
import { IdTable } from './id-table.js'
import { seededRandom } from './random.js'

/** What the table must equal: a Map for the ids, an array for what rows recorded. */
class Model {
  readonly rows = new Map<string, number>()
  readonly recorded: (Id | undefined)[] = []

  find(id: Id): number {
    return this.rows.get(key(id)) ?? -1
  }

  set(id: Id, row: number): number {
    this.recordId(row, id)
    const before = this.find(id)
    this.rows.set(key(id), row)
    return before
  }

  delete(id: Id): number {
    const before = this.find(id)
    this.rows.delete(key(id))
    return before
  }

  recordId(row: number, id: Id): void {
    const old = this.recorded[row]
    if (old !== undefined && key(old) !== key(id)) this.release(row)
    this.recorded[row] = id
  }

  release(row: number): void {
    const old = this.recorded[row]
    if (old !== undefined && this.find(old) === row) this.rows.delete(key(old))
    this.recorded[row] = undefined
  }
}

/** `expect` of every step would take most of the time. */
function same(got: Id, wanted: Id | undefined, step: number): void {
  if (got !== wanted) expect(got, `at step ${step}`).toBe(wanted)
}

const key = (id: Id): string => `${typeof id}:${id}`

describe('against a model', () => {
  it.each([
    ['few ids, so that calls meet', 1, 60, 100],
    ['many ids', 2, 6000, 9000],
  ])('answers as a Map does: %s', (_, seed, idCount, rowCount) => {
    const random = seededRandom(seed)
    const pick = (count: number): number => Math.floor(random() * count)
    const ids = Array.from({ length: idCount }, (_, i) => mixedId(i))
    const table = new IdTable()
    const model = new Model()
    for (let step = 0; step < 100_000; step++) {
      const id = ids[pick(idCount)]!
      const row = pick(rowCount)
      const action = random()
      if (action < 0.35) same(table.set(id, row), model.set(id, row), step)
      else if (action < 0.5) same(remove(table, id), model.delete(id), step)
      else if (action < 0.6) {
        table.recordId(row, id)
        model.recordId(row, id)
      } else if (action < 0.7) {
        table.release(row)
        model.release(row)
      } else same(table.find(id), model.find(id), step)
      if (model.recorded[row] !== undefined) same(table.idAt(row), model.recorded[row], step)
      else if (step % 50 === 0) expect(() => table.idAt(row)).toThrow(`row ${row} has no id`)
    }
    expect(table.size).toBe(model.rows.size)
    for (const id of ids) expect(table.find(id)).toBe(model.find(id))
  })

  it('keeps 200 000 ids apart while it grows and while every second one is deleted', () => {
    const table = new IdTable()
    const count = 200_000
    for (let row = 0; row < count; row++) same(table.set(mixedId(row), row), -1, row)
    expect(table.size).toBe(count)
    for (let row = 0; row < count; row += 2) same(remove(table, mixedId(row)), row, row)
    expect(table.size).toBe(count / 2)
    for (let row = 0; row < count; row++) same(table.find(mixedId(row)), row % 2 === 0 ? -1 : row, row)
  })
})

describe('ids', () => {
  it('keeps 1, 1n and "1" apart, and -1 from 2^64 - 1', () => {
    const table = new IdTable()
    const ids: Id[] = [1, 1n, '1', -1, -1n, 2n ** 64n - 1n]
    ids.forEach((id, row) => {
      expect(table.set(id, row)).toBe(-1)
    })
    expect(ids.map(id => table.find(id))).toEqual([0, 1, 2, 3, 4, 5])
    expect(ids.map((_, row) => table.idAt(row))).toEqual(ids)
  })

  it('tells texts apart whose 32-bit hashes are equal', () => {
    const [left, right] = collidingTexts()
    const table = new IdTable()
    table.set(left, 0)
    expect(table.find(right)).toBe(-1)
    table.set(right, 1)
    expect([table.find(left), table.find(right)]).toEqual([0, 1])
    remove(table, left)
    expect([table.find(left), table.find(right)]).toEqual([-1, 1])
  })

  it('refuses what is no id and stays as it was', () => {
    const table = new IdTable()
    table.set('a', 0)
    for (const id of ['', '\ud800', 0.5, 2n ** 64n]) {
      expect(() => table.set(id, 1)).toThrow('is refused')
      expect(() => table.find(id)).toThrow('is refused')
    }
    expect(table.size).toBe(1)
    expect(() => table.idAt(1)).toThrow('row 1 has no id')
  })
})

describe('rows', () => {
  it('tell their id after it moved on and after it was deleted, until they are released', () => {
    const table = new IdTable()
    table.set('a', 0)
    expect(table.set('a', 1)).toBe(0)
    expect(remove(table, 'a')).toBe(1)
    expect([table.idAt(0), table.idAt(1)]).toEqual(['a', 'a'])
    table.release(0)
    expect(() => table.idAt(0)).toThrow('row 0 has no id')
    expect(table.idAt(1)).toBe('a')
  })

  it('are not findable when only recorded', () => {
    const table = new IdTable()
    table.recordId(5, 'a')
    expect([table.find('a'), table.size, table.idAt(5)]).toEqual([-1, 0, 'a'])
    expect(table.set('a', 5)).toBe(-1)
    expect(table.find('a')).toBe(5)
  })

  it('can be reused after release, while the id lives on in another row', () => {
    const table = new IdTable()
    table.set('a', 0)
    table.set('a', 1)
    table.release(0)
    table.set('b', 0)
    expect([table.find('a'), table.find('b')]).toEqual([1, 0])
  })
})

describe('memory', () => {
  it('takes at most 24 bytes per integer id', () => {
    const table = new IdTable()
    const count = 1 << 17
    for (let row = 0; row < count; row++) table.set(row * 7919, row)
    expect(table.bytes(count) / count).toBeLessThan(24)
  })

  it('gives back the text of released rows, and live texts survive the copy', () => {
    const table = new IdTable()
    const rows = 1000
    const text = (round: number, row: number): string => `round ${round} row ${row} ${'x'.repeat(row % 200)}`
    let liveBytes = 0
    for (let row = 0; row < rows; row++) {
      table.set(text(0, row), row)
      liveBytes += encodeId(text(0, row)).length
    }
    const held = table.bytes(rows)
    for (let round = 1; round <= 50; round++) {
      for (let row = 0; row < rows; row++) {
        if (row % 10 === 0) continue // these stay from round 0 through every copy
        table.release(row)
        table.set(text(round, row), row)
      }
    }
    for (let row = 0; row < rows; row++) {
      const id = text(row % 10 === 0 ? 0 : 50, row)
      expect(table.find(id)).toBe(row)
      expect(table.idAt(row)).toBe(id)
    }
    // At most half garbage, then doubled for growth, on top of what 1 000 rows take.
    expect(table.bytes(rows) - held).toBeLessThan(4 * liveBytes)
  })
})

/** Four kinds; neighbours in both halves of the word; texts of 1..~60 bytes, some not ASCII. */
function mixedId(i: number): Id {
  if (i % 4 === 0) return i % 8 === 0 ? i : -i * 2 ** 20
  if (i % 4 === 1) return i % 8 === 1 ? BigInt(i) << 32n : -BigInt(i)
  return i % 4 === 2 ? `${i}` : `é${'z'.repeat(i % 50)}${i}`
}

/** Two texts of equal hash, found by looking (a birthday: about 80 000 texts). */
function collidingTexts(): [string, string] {
  const column = new IdColumn()
  const seen = new Map<number, string>()
  for (let i = 0; ; i++) {
    column.load(`text ${i}`)
    const other = seen.get(column.hash)
    if (other !== undefined) return [other, `text ${i}`]
    seen.set(column.hash, `text ${i}`)
  }
}

/** The id names no row any more. @returns the row that it named, or -1. */
function remove(table: IdTable, id: Id): number {
  return table.removeAll([id])[0]!
}
