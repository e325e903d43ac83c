/**
 * Row -> id, off the JavaScript heap: nine bytes a row, and the text of string ids in one arena.
 * A row keeps its id until `release`, whatever the id names by then: a search of an older view still tells it.
 *
 *   kind   u8       0 while the row has no id
 *   words  2 x i32  an integer: its low and high half (two's complement) | a string: where it starts in the arena,
 *                   and its bytes (11 bits) with a tag of the hash (21 bits), so that unequal texts rarely meet
 *   arena  i32      UTF-8, padded to words with zeros, as words hash and compare four times as fast as bytes;
 *                   appended; copied to a new arena without the gaps when half of it is garbage
 *
 * The id at hand is parsed once into a register (`load`), then compared with rows and stored without garbage.
 * int32 throughout: V8 keeps larger integers on the heap.
 */
import { allocateSlab, growSlab, MAX_SLAB_BYTES, touchedBytes } from '@drift/native'
import { CoreError } from './errors.js'
import { BIGINT, type Id, idKind, MAX_ID_BYTES, NEGATIVE, NUMBER, readText, STRING, writeText } from './id.js'

export class IdColumn {
  /** Hash of the id last loaded: an int32, equal for equal ids. */
  hash = 0
  #kind = 0
  #low = 0
  #high = 0
  readonly #bytes = new Uint8Array(MAX_ID_BYTES)
  readonly #text = new Int32Array(this.#bytes.buffer)

  #kinds = new Uint8Array(allocateSlab(FIRST_ROWS, MAX_ROWS))
  #words = new Int32Array(allocateSlab(FIRST_ROWS * ROW_BYTES, MAX_ROWS * ROW_BYTES))
  #arena = new Int32Array(allocateSlab(FIRST_ARENA_WORDS * WORD_BYTES, MAX_SLAB_BYTES))
  #arenaBytes = new Uint8Array(this.#arena.buffer)
  #arenaEnd = 0
  #garbage = 0

  /** Make `id` the one at hand. @throws CoreError DRIFT_ID. */
  load(id: Id): void {
    const kind = idKind(id)
    this.#kind = kind
    if (kind === STRING) {
      const length = writeText(id as string, this.#bytes)
      for (let i = length; (i & (WORD_BYTES - 1)) !== 0; i++) this.#bytes[i] = 0
      this.hash = hashText(this.#text, 0, length)
      this.#high = (this.hash & ~LENGTH_MASK) | length
      return
    }
    if (kind === NUMBER) {
      this.#low = (id as number) | 0
      this.#high = Math.floor((id as number) / TWO_32) | 0
    } else {
      long[0] = id as bigint
      this.#low = halves[LOW]!
      this.#high = halves[1 - LOW]!
    }
    this.hash = hashInteger(kind, this.#low, this.#high)
  }

  /** Is the id at hand the one of `row`? */
  matches(row: number): boolean {
    if (this.#words[2 * row + 1] !== this.#high || this.#kinds[row] !== this.#kind) return false
    const low = this.#words[2 * row]!
    if (this.#kind !== STRING) return low === this.#low
    return equalWords(this.#arena, low, this.#text, wordsOf(this.#high))
  }

  /** Give `row`, which has none, the id at hand. @throws CoreError DRIFT_FULL; nothing is changed then. */
  store(row: number): void {
    if (row >= this.#kinds.length) this.#growRows(row + 1)
    if (this.#kind === STRING) {
      const words = wordsOf(this.#high)
      this.#reserveText(words)
      copyWords(this.#text, 0, words, this.#arena, this.#arenaEnd)
      this.#low = this.#arenaEnd
      this.#arenaEnd += words
    }
    this.#words[2 * row] = this.#low
    this.#words[2 * row + 1] = this.#high
    this.#kinds[row] = this.#kind
  }

  has(row: number): boolean {
    return row < this.#kinds.length && this.#kinds[row] !== 0
  }

  /** @throws CoreError DRIFT_ROW when the row has no id. */
  idAt(row: number): Id {
    const kind = this.#kinds[row]
    const low = this.#words[2 * row]!
    const high = this.#words[2 * row + 1]!
    if (kind === NUMBER) return high * TWO_32 + (low >>> 0)
    if (kind === STRING)
      return readText(this.#arenaBytes, low * WORD_BYTES, low * WORD_BYTES + (high & LENGTH_MASK))
    if (kind !== BIGINT && kind !== NEGATIVE)
      throw new CoreError('DRIFT_ROW', `row ${row} has no id`, { row })
    halves[LOW] = low
    halves[1 - LOW] = high
    return kind === BIGINT ? long[0]! : BigInt.asIntN(64, long[0]!)
  }

  /** The hash that `load` would give for the id of `row`, which has one. */
  hashAt(row: number): number {
    const kind = this.#kinds[row]!
    const low = this.#words[2 * row]!
    const high = this.#words[2 * row + 1]!
    return kind === STRING ? hashText(this.#arena, low, high & LENGTH_MASK) : hashInteger(kind, low, high)
  }

  /** What rows below `rows` have, in this column's own memory: true of a row until it is released, whatever becomes of others. */
  columns(rows: number): { kinds: Uint8Array; words: Int32Array; text: Int32Array } {
    if (rows > this.#kinds.length) this.#growRows(rows)
    return {
      kinds: this.#kinds.subarray(0, rows),
      words: this.#words.subarray(0, 2 * rows),
      text: this.#arena.subarray(0, this.#arenaEnd),
    }
  }

  /** For an empty column: the ids of the live rows. @param live - one bit a row. @throws CoreError DRIFT_IMAGE. */
  restore(rows: number, textWords: number, live: Uint32Array, read: ReadIdColumn): void {
    if (rows > this.#kinds.length) this.#growRows(rows)
    this.#reserveText(textWords)
    read('idKinds', this.#kinds.subarray(0, rows))
    read('idWords', new Uint8Array(this.#words.buffer, 0, rows * ROW_BYTES))
    read('idText', new Uint8Array(this.#arena.buffer, 0, textWords * WORD_BYTES))
    this.#arenaEnd = textWords
    this.#garbage = textWords
    for (let row = 0; row < rows; row++) {
      if (((live[row >>> 5]! >>> (row & 31)) & 1) === 0) this.#kinds[row] = 0
      else this.#checkRow(row, textWords)
    }
  }

  #checkRow(row: number, textWords: number): void {
    const kind = this.#kinds[row]!
    const low = this.#words[2 * row]!
    const high = this.#words[2 * row + 1]!
    let sound = false
    if (kind === STRING) {
      const length = high & LENGTH_MASK
      sound = length > 0 && length <= MAX_ID_BYTES && low >= 0 && low + wordsOf(high) <= textWords
      if (sound) this.#garbage -= wordsOf(high)
    } else if (kind === NUMBER) sound = Number.isSafeInteger(high * TWO_32 + (low >>> 0))
    else sound = kind === BIGINT || (kind === NEGATIVE && high < 0)
    if (sound) return
    throw new CoreError('DRIFT_IMAGE', `the stored index does not fit: row ${row} has an id of kind ${kind}`)
  }

  /** Forget the id of `row`, which has one. */
  release(row: number): void {
    if (this.#kinds[row] === STRING) this.#garbage += wordsOf(this.#words[2 * row + 1]!)
    this.#kinds[row] = 0
    // Never for less garbage than there are rows to look at, so that it costs O(1) per word of garbage.
    const worthIt = Math.max(FIRST_ARENA_WORDS / 2, this.#kinds.length)
    if (this.#garbage >= worthIt && 2 * this.#garbage >= this.#arenaEnd) this.#compact()
  }

  /** Bytes in use, for rows below `rows`. */
  bytes(rows: number): number {
    return (
      touchedBytes(this.#kinds.buffer, rows) +
      touchedBytes(this.#words.buffer, rows * ROW_BYTES) +
      touchedBytes(this.#arena.buffer, this.#arenaEnd * WORD_BYTES)
    )
  }

  #growRows(rows: number): void {
    if (rows > MAX_ROWS) {
      throw new CoreError('DRIFT_FULL', `row ${rows - 1} is beyond the ${MAX_ROWS} rows of an id column`, {
        rows,
      })
    }
    const capacity = Math.min(MAX_ROWS, Math.max(rows, 2 * this.#kinds.length))
    growSlab(this.#words.buffer, capacity * ROW_BYTES)
    growSlab(this.#kinds.buffer, capacity)
    this.#words = new Int32Array(this.#words.buffer, 0, capacity * 2)
    this.#kinds = new Uint8Array(this.#kinds.buffer, 0, capacity)
  }

  #reserveText(words: number): void {
    const needed = this.#arenaEnd + words
    if (needed <= this.#arena.length) return
    if (needed > MAX_ARENA_WORDS) {
      const what = `string ids take more than the ${MAX_SLAB_BYTES} bytes of their arena`
      throw new CoreError('DRIFT_FULL', what, { words: needed, garbage: this.#garbage })
    }
    const capacity = Math.min(MAX_ARENA_WORDS, Math.max(needed, 2 * this.#arena.length))
    growSlab(this.#arena.buffer, capacity * WORD_BYTES)
    this.#arena = new Int32Array(this.#arena.buffer, 0, capacity)
    this.#arenaBytes = new Uint8Array(this.#arena.buffer, 0, capacity * WORD_BYTES)
  }

  /** To memory of its own, also the words: who holds `columns` has words that belong to the arena before. */
  #compact(): void {
    const capacity = Math.min(
      MAX_ARENA_WORDS,
      Math.max(FIRST_ARENA_WORDS, 2 * (this.#arenaEnd - this.#garbage)),
    )
    const arena = new Int32Array(allocateSlab(capacity * WORD_BYTES, MAX_SLAB_BYTES))
    const rows = this.#kinds.length
    const words = new Int32Array(allocateSlab(rows * ROW_BYTES, MAX_ROWS * ROW_BYTES))
    words.set(this.#words)
    let end = 0
    for (let row = 0; row < rows; row++) {
      if (this.#kinds[row] !== STRING) continue
      const count = wordsOf(words[2 * row + 1]!)
      copyWords(this.#arena, words[2 * row]!, count, arena, end)
      words[2 * row] = end
      end += count
    }
    this.#words = words
    this.#arena = arena
    this.#arenaBytes = new Uint8Array(arena.buffer, 0, capacity * WORD_BYTES)
    this.#arenaEnd = end
    this.#garbage = 0
  }
}

/** Fills a stored column. */
export type ReadIdColumn = (column: 'idKinds' | 'idWords' | 'idText', into: Uint8Array) => void

const TWO_32 = 4_294_967_296
const WORD_BYTES = 4
const ROW_BYTES = 2 * WORD_BYTES
/** A slab holds less than 4 GiB: rows end below 2^29, and words of text below 2^30. */
const MAX_ROWS = Math.floor(MAX_SLAB_BYTES / ROW_BYTES)
const MAX_ARENA_WORDS = MAX_SLAB_BYTES / WORD_BYTES
const FIRST_ROWS = 1024
const FIRST_ARENA_WORDS = 4096
/** MAX_ID_BYTES is 1 024, which takes 11 bits. */
const LENGTH_MASK = (1 << 11) - 1

/** A window on the halves of a 64-bit integer, in the machine's byte order; shifts of bigints allocate. */
const long = new BigUint64Array(1)
const halves = new Int32Array(long.buffer)
const LOW = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 0 : 1

/** Words that the text with this second word takes. */
function wordsOf(high: number): number {
  return ((high & LENGTH_MASK) + WORD_BYTES - 1) >> 2
}

function copyWords(from: Int32Array, start: number, words: number, to: Int32Array, at: number): void {
  for (let i = 0; i < words; i++) to[at + i] = from[start + i]!
}

function equalWords(arena: Int32Array, start: number, text: Int32Array, words: number): boolean {
  for (let i = 0; i < words; i++) if (arena[start + i] !== text[i]) return false
  return true
}

/** Each step is a bijection of one word, so that ids that differ in one half never collide in all 32 bits. */
function hashInteger(kind: number, low: number, high: number): number {
  let hash = Math.imul(low, 0x9e3779b1)
  hash = Math.imul(hash ^ (hash >>> 16) ^ high, 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13) ^ kind, 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

/** MurmurHash3 x86_32 (Austin Appleby, public domain) over the padded words of a text of `length` bytes. */
function hashText(words: Int32Array, start: number, length: number): number {
  const end = start + wordsOf(length)
  let hash = 0
  for (let i = start; i < end; i++) {
    let word = Math.imul(words[i]!, 0xcc9e2d51)
    word = Math.imul((word << 15) | (word >>> 17), 0x1b873593) ^ hash
    hash = (Math.imul((word << 13) | (word >>> 19), 5) + 0xe6546b64) | 0
  }
  hash ^= length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
