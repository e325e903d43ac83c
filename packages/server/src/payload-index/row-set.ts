/**
 * The rows that hold one value: a sorted list while they are few, a bitmap when the list would be larger. Rows mostly
 * come in ascending order, so adding is mostly appending.
 */
import { Bits } from './bits.js'

/** Below this a list is small whatever the bitmap would take, and moving its tail costs nothing. */
const LIST_ROWS = 64

export class RowSet {
  #list: Uint32Array | undefined = new Uint32Array(1)
  #bits: Bits | undefined
  #count = 0
  #last = 0

  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#bits?.bytes ?? this.#list!.byteLength
  }

  /** @param row - not yet in the set. */
  add(row: number): void {
    if (row > this.#last) this.#last = row
    if (!this.#bits && this.#count >= LIST_ROWS && this.#count > this.#last >>> 5) this.#toBits()
    if (this.#bits) this.#bits.set(row, true)
    else this.#insert(row)
    this.#count++
  }

  /** @param row - in the set. */
  remove(row: number): void {
    if (this.#bits) this.#bits.set(row, false)
    else {
      const at = this.#placeOf(row)
      this.#list!.copyWithin(at, at + 1, this.#count)
    }
    this.#count--
  }

  addTo(out: Uint32Array): void {
    this.#bits?.addTo(out)
    const list = this.#list ?? []
    for (let i = 0; i < list.length && i < this.#count; i++) {
      const row = list[i]!
      if (row >>> 5 < out.length) out[row >>> 5]! |= 1 << (row & 31)
    }
  }

  #insert(row: number): void {
    let list = this.#list!
    if (this.#count === list.length) {
      this.#list = new Uint32Array(2 * list.length)
      this.#list.set(list)
      list = this.#list
    }
    const at = this.#count === 0 || list[this.#count - 1]! < row ? this.#count : this.#placeOf(row)
    list.copyWithin(at + 1, at, this.#count)
    list[at] = row
  }

  /** The first place whose row is not below `row`. */
  #placeOf(row: number): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#list![middle]! < row) low = middle + 1
      else high = middle
    }
    return low
  }

  #toBits(): void {
    this.#bits = new Bits()
    for (let i = 0; i < this.#count; i++) this.#bits.set(this.#list![i]!, true)
    this.#list = undefined
  }
}
