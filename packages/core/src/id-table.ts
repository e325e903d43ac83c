/**
 * Id -> row, off the JavaScript heap: a hash table of row numbers over the ids that `IdColumn` keeps per row.
 * Rule: a row is in the table at most once, and only while its recorded id names it.
 * Open addressing with linear probing; deletion shifts back (Knuth, TAOCP 6.4, algorithm R), so there are no tombstones
 * to sweep. Hashing stays in TypeScript: a call into the addon costs more than the hash.
 */
import type { Id } from './id.js'
import { IdColumn, type ReadIdColumn } from './id-column.js'

/** 16 to 24 bytes per integer id. Rows are numbers that the caller hands out, dense from 0. */
export class IdTable {
  readonly #ids = new IdColumn()
  #slots = emptySlots(FIRST_SLOTS)
  #size = 0
  /** Rows below are in `#ids`, and not in `#slots` yet: a search names no id, so that opening need not wait for this. */
  #unplaced = 0

  /** How many ids can be found. */
  get size(): number {
    this.#place()
    return this.#size
  }

  /** Bytes in use, when row numbers are below `rows`. */
  bytes(rows: number): number {
    return this.#slots.byteLength + this.#ids.bytes(rows)
  }

  /** @throws CoreError DRIFT_ID. */
  check(id: Id): void {
    this.#ids.load(id)
  }

  /** The row that `id` names, or -1. @throws CoreError DRIFT_ID. */
  find(id: Id): number {
    this.#place()
    this.#ids.load(id)
    return this.#slots[this.#slot()]!
  }

  /**
   * Let `id` name `row`, and record it there.
   *
   * @returns the row that it named before (which keeps its recorded id until released), or -1.
   */
  set(id: Id, row: number): number {
    this.recordId(row, id)
    const slot = this.#slot()
    const before = this.#slots[slot]!
    this.#slots[slot] = row
    if (before === EMPTY) {
      this.#size++
      if (this.#size > MAX_LOAD * this.#slots.length) this.#grow()
    }
    return before
  }

  /** Let the ids name nothing; they stay recorded. @returns the row that each named, or -1. @throws CoreError DRIFT_ID; nothing is changed then. */
  removeAll(ids: readonly Id[]): Int32Array {
    this.#place()
    for (let i = 0; i < ids.length; i++) this.#ids.load(ids[i]!)
    const rows = new Int32Array(ids.length)
    for (let i = 0; i < ids.length; i++) {
      this.#ids.load(ids[i]!)
      const slot = this.#slot()
      rows[i] = this.#slots[slot]!
      if (rows[i] !== EMPTY) this.#empty(slot)
    }
    return rows
  }

  /** Remember the id of an appended row that is not yet visible: `idAt` tells it, `find` does not. */
  recordId(row: number, id: Id): void {
    this.#place()
    this.#ids.load(id)
    if (this.#ids.has(row)) {
      if (this.#ids.matches(row)) return
      this.release(row)
      this.#ids.load(id)
    }
    this.#ids.store(row)
  }

  /** The id last recorded for `row`, also after it moved on or was deleted. @throws CoreError DRIFT_ROW if there is none. */
  idAt(row: number): Id {
    return this.#ids.idAt(row)
  }

  /** Forget the id of `row`, so that the row may be reused. An id that still names the row goes with it. */
  release(row: number): void {
    if (!this.#ids.has(row)) return
    this.#place()
    this.#unname(row)
    this.#ids.release(row)
  }

  /** The same for a row that no id names, which is not looked up. */
  forget(row: number): void {
    if (this.#ids.has(row)) this.#ids.release(row)
  }

  /** The ids of rows below `rows`, as views that stay true of a row until it is released. */
  columns(rows: number): ReturnType<IdColumn['columns']> {
    return this.#ids.columns(rows)
  }

  /**
   * For an empty table: the ids of the live rows, which are distinct.
   *
   * @param live - one bit a row.
   * @throws CoreError DRIFT_IMAGE when a live row has no id.
   */
  restore(rows: number, textWords: number, live: Uint32Array, read: ReadIdColumn): void {
    this.#ids.restore(rows, textWords, live, read)
    this.#unplaced = rows
  }

  /** What was restored can be found. */
  #place(): void {
    const rows = this.#unplaced
    if (rows === 0) return
    this.#unplaced = 0
    let capacity = FIRST_SLOTS
    while (MAX_LOAD * capacity < rows) capacity *= 2
    const slots = emptySlots(capacity)
    const mask = capacity - 1
    const ids = this.#ids
    for (let row = 0; row < rows; row++) {
      if (!ids.has(row)) continue
      let slot = ids.hashAt(row) & mask
      while (slots[slot] !== EMPTY) slot = (slot + 1) & mask
      slots[slot] = row
      this.#size++
    }
    this.#slots = slots
  }

  /** Where the loaded id is, or the empty slot where it belongs. */
  #slot(): number {
    const mask = this.#slots.length - 1
    let slot = this.#ids.hash & mask
    for (;;) {
      const row = this.#slots[slot]!
      if (row === EMPTY || this.#ids.matches(row)) return slot
      slot = (slot + 1) & mask
    }
  }

  #unname(row: number): void {
    const slots = this.#slots
    const mask = slots.length - 1
    // Row numbers are compared, not ids: a row is in the table once.
    for (let slot = this.#ids.hashAt(row) & mask; slots[slot] !== EMPTY; slot = (slot + 1) & mask) {
      if (slots[slot] !== row) continue
      this.#empty(slot)
      return
    }
  }

  /** Take the row out of `slot` and close the gap: rows behind it that may stand nearer to their home move up. */
  #empty(slot: number): void {
    const slots = this.#slots
    const mask = slots.length - 1
    let gap = slot
    for (let next = (gap + 1) & mask; slots[next] !== EMPTY; next = (next + 1) & mask) {
      const home = this.#ids.hashAt(slots[next]!) & mask
      if (((next - home) & mask) < ((next - gap) & mask)) continue
      slots[gap] = slots[next]!
      gap = next
    }
    slots[gap] = EMPTY
    this.#size--
  }

  #grow(): void {
    const slots = emptySlots(2 * this.#slots.length)
    const mask = slots.length - 1
    for (const row of this.#slots) {
      if (row === EMPTY) continue
      let slot = this.#ids.hashAt(row) & mask
      while (slots[slot] !== EMPTY) slot = (slot + 1) & mask
      slots[slot] = row
    }
    this.#slots = slots
  }
}

/** Also what `find` answers. Rows stay below 2^29, so int32 slots hold them without ever leaving small integers. */
const EMPTY = -1
const FIRST_SLOTS = 64
/** At 0.6 a search that fails looks at 3.6 slots on average, one that succeeds at 1.75. */
const MAX_LOAD = 0.6

function emptySlots(count: number): Int32Array {
  return new Int32Array(count).fill(EMPTY)
}
