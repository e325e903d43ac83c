/**
 * An append-only list of row numbers in shared memory: the rows of a memtable, or those not yet in a bucket.
 * Rule: what is written below `count` never changes. Growing copies to new memory, so a worker reads the prefix that
 * it was handed for as long as it likes.
 */

const FIRST_ROWS = 1024

export class RowList {
  rows: Uint32Array<SharedArrayBuffer> = new Uint32Array(new SharedArrayBuffer(0))
  count = 0

  push(rows: Uint32Array): void {
    const needed = this.count + rows.length
    if (needed > this.rows.length) {
      const capacity = Math.max(FIRST_ROWS, needed, 2 * this.rows.length)
      const larger = new Uint32Array(new SharedArrayBuffer(4 * capacity))
      larger.set(this.rows.subarray(0, this.count))
      this.rows = larger
    }
    this.rows.set(rows, this.count)
    this.count = needed
  }
}
