/** Proves that what is packed piece by piece comes out as it went in: ids as each is encoded, also where they need more room than was made. */
import { encodeId, type Id } from '@drift/core'
import { expect, it } from 'vitest'
import { unpack } from './packed.js'
import { packIds, packRows } from './packing.js'

const hex = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString('hex')

const long = (i: number): Id => `${i}-`.padEnd(1_000, 'ä').slice(0, 500)

it.each([
  ['numbers', (i: number): Id => i * 2 ** 20],
  ['strings of a thousand bytes', long],
  ['all kinds in turns', (i: number): Id => [i, BigInt(i), -BigInt(i + 1), `${i}`, long(i)][i % 5]!],
])('ids that are %s are packed as they are encoded', async (_, idAt) => {
  const others = ['other', 7, 8n, long(9)]
  const rows = Uint32Array.from({ length: 2_500 }, (_, i) => 3 * i)
  const packed = await packIds(rows, idAt, others)
  expect(unpack(packed).map(hex)).toEqual([...Array.from(rows, idAt), ...others].map(encodeId).map(hex))
})

it('no ids are packed as none', async () => {
  expect(unpack(await packIds(new Uint32Array(), () => 0))).toEqual([])
})

it('megabytes of payloads are packed in turns of the event loop, into memory that a thread reads without a copy', async () => {
  const rows = Uint32Array.from({ length: 3_000 }, (_, i) => i)
  const payloads = Array.from(rows, row => (row % 3 === 0 ? undefined : new Uint8Array(row).fill(row)))
  let turns = 0
  const turning = (): void => {
    turns++
    turn = setImmediate(turning)
  }
  let turn = setImmediate(turning)
  const packed = await packRows(rows, row => payloads[row])
  clearImmediate(turn)
  expect(unpack(packed).map(hex)).toEqual(payloads.map(hex))
  expect(packed.bytes.buffer).toBeInstanceOf(SharedArrayBuffer)
  expect(turns).toBeGreaterThan(packed.bytes.length >>> 20)
})
