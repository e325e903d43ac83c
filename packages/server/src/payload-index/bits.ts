/**
 * One bit a row, growing with the rows: word row >>> 5, bit row & 31, as the index wants its allow-bitmap.
 */

const FIRST_WORDS = 32

export class Bits {
  #words: Uint32Array = new Uint32Array(FIRST_WORDS)

  get bytes(): number {
    return this.#words.byteLength
  }

  set(row: number, on: boolean): void {
    const word = row >>> 5
    if (word >= this.#words.length) {
      if (!on) return
      const larger = new Uint32Array(Math.max(word + 1, 2 * this.#words.length))
      larger.set(this.#words)
      this.#words = larger
    }
    if (on) this.#words[word]! |= 1 << (row & 31)
    else this.#words[word]! &= ~(1 << (row & 31))
  }

  has(row: number): boolean {
    return ((this.#words[row >>> 5]! >>> (row & 31)) & 1) === 1
  }

  /** out |= these, as far as out reaches. */
  addTo(out: Uint32Array): void {
    const words = Math.min(out.length, this.#words.length)
    for (let i = 0; i < words; i++) out[i]! |= this.#words[i]!
  }
}

export function bitsSet(words: Uint32Array): number {
  let count = 0
  for (let i = 0; i < words.length; i++) {
    let word = words[i]!
    word -= (word >>> 1) & 0x5555_5555
    word = (word & 0x3333_3333) + ((word >>> 2) & 0x3333_3333)
    count += Math.imul((word + (word >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
  }
  return count
}

/** The rows whose bits are set, ascending. The bits must not change meanwhile. */
export function* bitsOf(words: Uint32Array): Generator<number, void, undefined> {
  for (let word = 0; word < words.length; word++) {
    for (let bits = words[word]!; bits !== 0; bits &= bits - 1) {
      yield (word << 5) | (31 - Math.clz32(bits & -bits))
    }
  }
}

/** The same as an array. */
export function rowsOfBits(words: Uint32Array): Uint32Array {
  const rows = new Uint32Array(bitsSet(words))
  let count = 0
  for (const row of bitsOf(words)) rows[count++] = row
  return rows
}
