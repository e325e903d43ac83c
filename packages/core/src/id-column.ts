/**
 * Row -> id, off the JavaScript heap: nine bytes a row, and the text of string ids in one arena.
 * A row keeps its id until `release`, whatever the id names by then: a search of an older view still tells it.
 *
 *   kind   u8       0 while the row has no id
 *   words  2 x u32  an integer: its low and high half (two's complement) | a string: offset in the arena,
 *                   and length (11 bits) with a tag of the hash (21 bits), so that unequal texts rarely meet
 *   arena  UTF-8    appended; copied to a new arena without the gaps when half of it is garbage
 *
 * The id at hand is parsed once into a register (`load`), then compared with rows and stored without garbage.
 */
import { allocateSlab, growSlab, MAX_SLAB_BYTES } from '@drift/native'
import { CoreError } from './errors.js'
import { BIGINT, type Id, idKind, MAX_ID_BYTES, NEGATIVE, NUMBER, readText, STRING, writeText } from './id.js'

export class IdColumn {
  /** Hash of the id last loaded, 32 bits, equal for equal ids. */
  hash = 0
  #kind = 0
  #low = 0
  #high = 0
  readonly #text = new Uint8Array(MAX_ID_BYTES)

  #kinds = new Uint8Array(allocateSlab(FIRST_ROWS, MAX_ROWS))
  #words = new Uint32Array(allocateSlab(FIRST_ROWS * WORD_BYTES, MAX_ROWS * WORD_BYTES))
  #arena = new Uint8Array(allocateSlab(FIRST_ARENA_BYTES, MAX_SLAB_BYTES))
  #arenaEnd = 0
  #garbage = 0

  /** Make `id` the one at hand. @throws CoreError DRIFT_ID. */
  load(id: Id): void {
    const kind = idKind(id)
    this.#kind = kind
    if (kind === STRING) {
      const length = writeText(id as string, this.#text)
      this.hash = hashText(this.#text, 0, length)
      this.#high = textWord(length, this.hash)
      return
    }
    if (kind === NUMBER) {
      this.#low = (id as number) >>> 0
      this.#high = Math.floor((id as number) / TWO_32) >>> 0
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
    const first = this.#words[2 * row]!
    return this.#kind === STRING ? this.#textIsAt(first) : first === this.#low
  }

  /** Give `row`, which has none, the id at hand. @throws CoreError DRIFT_FULL; nothing is changed then. */
  store(row: number): void {
    if (row >= this.#kinds.length) this.#growRows(row + 1)
    if (this.#kind === STRING) {
      const length = this.#high & LENGTH_MASK
      this.#reserveText(length)
      for (let i = 0; i < length; i++) this.#arena[this.#arenaEnd + i] = this.#text[i]!
      this.#low = this.#arenaEnd
      this.#arenaEnd += length
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
    if (kind === NUMBER) return (high | 0) * TWO_32 + low
    if (kind === STRING) return readText(this.#arena, low, low + (high & LENGTH_MASK))
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
    return kind === STRING
      ? hashText(this.#arena, low, low + (high & LENGTH_MASK))
      : hashInteger(kind, low, high)
  }

  /** Make the id of `row`, which has one, the one at hand. */
  loadRow(row: number): void {
    this.#kind = this.#kinds[row]!
    this.#low = this.#words[2 * row]!
    this.#high = this.#words[2 * row + 1]!
    this.hash = this.hashAt(row)
    if (this.#kind !== STRING) return
    const length = this.#high & LENGTH_MASK
    for (let i = 0; i < length; i++) this.#text[i] = this.#arena[this.#low + i]!
  }

  /** Forget the id of `row`, which has one. */
  release(row: number): void {
    if (this.#kinds[row] === STRING) this.#garbage += this.#words[2 * row + 1]! & LENGTH_MASK
    this.#kinds[row] = 0
    // Never for less garbage than there are rows to look at, so that it costs O(1) per byte of garbage.
    const worthIt = Math.max(FIRST_ARENA_BYTES / 2, this.#kinds.length)
    if (this.#garbage >= worthIt && 2 * this.#garbage >= this.#arenaEnd) this.#compact()
  }

  get bytes(): number {
    return this.#kinds.byteLength + this.#words.byteLength + this.#arena.byteLength
  }

  #textIsAt(offset: number): boolean {
    const end = this.#high & LENGTH_MASK
    for (let i = 0; i < end; i++) if (this.#arena[offset + i] !== this.#text[i]) return false
    return true
  }

  #growRows(rows: number): void {
    if (rows > MAX_ROWS) {
      throw new CoreError('DRIFT_FULL', `row ${rows - 1} is beyond the ${MAX_ROWS} rows of an id column`, {
        rows,
      })
    }
    const capacity = Math.min(MAX_ROWS, Math.max(rows, 2 * this.#kinds.length))
    growSlab(this.#words.buffer as SharedArrayBuffer, capacity * WORD_BYTES)
    growSlab(this.#kinds.buffer as SharedArrayBuffer, capacity)
    this.#words = new Uint32Array(this.#words.buffer, 0, capacity * 2)
    this.#kinds = new Uint8Array(this.#kinds.buffer, 0, capacity)
  }

  #reserveText(length: number): void {
    const needed = this.#arenaEnd + length
    if (needed <= this.#arena.length) return
    if (needed > MAX_SLAB_BYTES) {
      const what = `string ids take more than the ${MAX_SLAB_BYTES} bytes of their arena`
      throw new CoreError('DRIFT_FULL', what, { bytes: needed, garbage: this.#garbage })
    }
    const capacity = Math.min(MAX_SLAB_BYTES, Math.max(needed, 2 * this.#arena.length))
    growSlab(this.#arena.buffer as SharedArrayBuffer, capacity)
    this.#arena = new Uint8Array(this.#arena.buffer, 0, capacity)
  }

  #compact(): void {
    const live = this.#arenaEnd - this.#garbage
    const capacity = Math.max(FIRST_ARENA_BYTES, 2 * live)
    const arena = new Uint8Array(allocateSlab(Math.min(capacity, MAX_SLAB_BYTES), MAX_SLAB_BYTES))
    let end = 0
    for (let row = 0; row < this.#kinds.length; row++) {
      if (this.#kinds[row] !== STRING) continue
      const start = this.#words[2 * row]!
      const length = this.#words[2 * row + 1]! & LENGTH_MASK
      for (let i = 0; i < length; i++) arena[end + i] = this.#arena[start + i]!
      this.#words[2 * row] = end
      end += length
    }
    this.#arena = arena
    this.#arenaEnd = end
    this.#garbage = 0
  }
}

const TWO_32 = 4_294_967_296
const WORD_BYTES = 8
/** A slab holds less than 4 GiB: about 537 million rows of eight bytes, and offsets in the arena fit 32 bits. */
const MAX_ROWS = Math.floor(MAX_SLAB_BYTES / WORD_BYTES)
const FIRST_ROWS = 1024
const FIRST_ARENA_BYTES = 16 * 1024
/** MAX_ID_BYTES is 1 024, which takes 11 bits. */
const LENGTH_BITS = 11
const LENGTH_MASK = (1 << LENGTH_BITS) - 1

/** A window on the halves of a 64-bit integer, in the machine's byte order; shifts of bigints allocate. */
const long = new BigUint64Array(1)
const halves = new Uint32Array(long.buffer)
const LOW = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 0 : 1

function textWord(length: number, hash: number): number {
  return ((hash & ~LENGTH_MASK) | length) >>> 0
}

/** Each step is a bijection of one word, so that ids that differ in one half never collide in all 32 bits. */
function hashInteger(kind: number, low: number, high: number): number {
  let hash = Math.imul(low, 0x9e3779b1)
  hash = Math.imul(hash ^ (hash >>> 16) ^ high, 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13) ^ kind, 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** FNV-1a (Fowler, Noll, Vo) with the finish of MurmurHash3, as its own high bits mix badly. */
function hashText(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
