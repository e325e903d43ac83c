// Proves: what is packed comes back the same, also from unaligned memory, and bytes that are no frame are refused.
import { describe, expect, it } from 'vitest'
import { decodeFrame, encodeFrame, idFromJson, idToJson } from './wire.js'

describe('a frame', () => {
  const values = new Float32Array([1, -2.5, 3, Number.POSITIVE_INFINITY, 5, 6])
  const frame = encodeFrame(2, 3, { ids: ['ä', 1] }, values)

  it('comes back as it was, wherever it lies in memory', () => {
    for (const offset of [0, 1, 2, 3]) {
      const memory = new Uint8Array(frame.length + 4)
      memory.set(frame, offset)
      const decoded = decodeFrame(memory.subarray(offset, offset + frame.length))
      expect(decoded).toEqual({ rows: 2, dim: 3, meta: { ids: ['ä', 1] }, values })
    }
  })

  it('is refused at any other length', () => {
    for (let length = 0; length < frame.length; length++) {
      expect(() => decodeFrame(frame.subarray(0, length))).toThrow(RangeError)
    }
    expect(() => decodeFrame(Buffer.concat([frame, frame]))).toThrow(RangeError)
  })
})

it('ids keep their kind through JSON', () => {
  for (const id of [1, '1', 1n, -(2n ** 63n), 'ключ']) {
    expect(idFromJson(JSON.parse(JSON.stringify(idToJson(id))))).toBe(id)
  }
})
