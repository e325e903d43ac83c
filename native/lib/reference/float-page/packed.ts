/**
 * Words in blocks of 1024, interleaved: value i of a block stands in lane i % lanes, row i / lanes; row r owns bits
 * [r * width, (r + 1) * width) of its lane's own stream of words, lowest first; word w of all lanes is line w, 128 bytes. A last block
 * of fewer values ends with the last line that its rows reach.
 */
import { pack64, unpack64 } from './float64.js'
import { BLOCK_VALUES } from './header.js'

const LINE_BYTES = 128

/** Bytes of `values` words of `width` bits in lanes of `bits`. */
export function packedBytes(values: number, width: number, bits: number): number {
  const rows = rowsOf(values % BLOCK_VALUES, bits)
  return (Math.floor(values / BLOCK_VALUES) * width + Math.ceil((rows * width) / bits)) * LINE_BYTES
}

export function rowsOf(values: number, bits: number): number {
  return Math.ceil((values * bits) / (LINE_BYTES * 8))
}

export function bitsPack(words: BigUint64Array, width: number, out: Uint8Array): void {
  const mask = (1n << BigInt(width)) - 1n
  for (let start = 0; start < words.length; start += BLOCK_VALUES) {
    const block = new BigUint64Array(BLOCK_VALUES)
    block.set(words.subarray(start, start + BLOCK_VALUES).map(word => word & mask))
    const fill = Math.min(BLOCK_VALUES, words.length - start)
    const lines = new BigUint64Array(packedBytes(fill, width, 64) / 8)
    pack64(block, rowsOf(fill, 64), width, lines)
    out.set(new Uint8Array(lines.buffer), packedBytes(start, width, 64))
  }
}

export function bitsUnpack(bytes: Uint8Array, width: number, out: BigUint64Array): void {
  for (let start = 0; start < out.length; start += BLOCK_VALUES) {
    const fill = Math.min(BLOCK_VALUES, out.length - start)
    const at = packedBytes(start, width, 64)
    const lines = new BigUint64Array(BLOCK_VALUES)
    new Uint8Array(lines.buffer).set(bytes.subarray(at, at + packedBytes(fill, width, 64)))
    const block = new BigUint64Array(BLOCK_VALUES)
    unpack64(lines, rowsOf(fill, 64), width, block)
    out.set(block.subarray(0, fill), start)
  }
}
