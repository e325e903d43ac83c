// Proves: values come back exactly as stored, whatever the chunk size, and a file that is cut, of another kind or
// lying about its shape gives a coded error that names the file, never values.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom } from '@drift/core'
import { afterAll, describe, expect, test } from 'vitest'
import { f16ToF32 } from './float16.js'
import { NpyFile, readMatrix } from './npy.js'
import { bytesPerValue, decodeHeader, encodeHeader, type NpyType } from './npy-header.js'
import { writeNpy } from './npy-write.js'

const folder = mkdtempSync(join(tmpdir(), 'drift-npy-'))
afterAll(() => rmSync(folder, { recursive: true }))

let files = 0
function file(...parts: (Uint8Array | string)[]): string {
  const path = join(folder, `${files++}.npy`)
  writeFileSync(path, Buffer.concat(parts.map(part => Buffer.from(part as Uint8Array))))
  return path
}

function npy(type: NpyType, rows: number, columns: number, values: ArrayBufferView): string {
  return file(encodeHeader(type, rows, columns), new Uint8Array(values.buffer as ArrayBuffer))
}

/** A file whose dict is written by hand. */
function npyText(dict: string, data: Uint8Array, version = 1): string {
  const text = Buffer.from(`${dict}\n`, 'latin1')
  const length = Buffer.alloc(version === 1 ? 2 : 4)
  if (version === 1) length.writeUInt16LE(text.length)
  else length.writeUInt32LE(text.length)
  return file(Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0]), length, text, data)
}

function codeOf(path: string): string {
  try {
    new NpyFile(path).close()
  } catch (error) {
    expect((error as Error).message).toContain(path)
    return (error as { code: string }).code
  }
  return 'accepted'
}

describe('values', () => {
  test('every stored type comes back as its exact float32', () => {
    const floats = readMatrix(npy('f32', 2, 3, Float32Array.of(1, -2.5, 1e-40, 3e38, 0, -0)))
    expect(floats).toMatchObject({ rows: 2, columns: 3 })
    expect(Object.is(floats.values[5], -0)).toBe(true)
    expect([...floats.values.subarray(0, 4)]).toEqual([...Float32Array.of(1, -2.5, 1e-40, 3e38)])
    expect([...readMatrix(npy('u8', 1, 3, Uint8Array.of(0, 128, 255))).values]).toEqual([0, 128, 255])
    expect([...readMatrix(npy('f16', 1, 2, Uint16Array.of(0x3c00, 0xc000))).values]).toEqual([1, -2])
    const ints = new NpyFile(npy('i32', 2, 1, Int32Array.of(-1, 2 ** 31 - 1)))
    expect([...ints.readInts(0, 2)]).toEqual([-1, 2 ** 31 - 1])
    ints.close()
  })

  test('all 65 536 float16 values widen to what the standard says', () => {
    const bits = Uint16Array.from({ length: 65_536 }, (_, i) => i)
    const out = new Float32Array(65_536)
    f16ToF32(bits, out)
    expect([out[0], out[1], out[0x03ff], out[0x0400], out[0x7bff], out[0x3555]]).toEqual([
      0,
      2 ** -24,
      1023 * 2 ** -24,
      2 ** -14,
      65_504,
      0.333251953125,
    ])
    expect([out[0x7c00], out[0xfc00], out[0x7e00], out[0x7c01]]).toEqual([
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.NaN,
      Number.NaN,
    ])
    expect(Object.is(out[0x8000], -0)).toBe(true)
    for (let i = 1; i < 0x7c00; i++) {
      if (!(out[i]! > out[i - 1]!)) throw new Error(`not increasing at ${i}`)
      if (out[i + 0x8000] !== -out[i]!) throw new Error(`sign at ${i}`)
    }
  })

  test('reading by chunks of any size gives the rows in order, once', () => {
    const values = Float32Array.from({ length: 10 * 3 }, (_, i) => i)
    const npyFile = new NpyFile(npy('f32', 10, 3, values))
    for (const chunkRows of [1, 3, 10, 99]) {
      const seen = [...npyFile.floatChunks(chunkRows)]
      expect(seen.map(chunk => chunk.count).reduce((a, b) => a + b)).toBe(10)
      expect(seen.flatMap(chunk => [...chunk.values])).toEqual([...values])
    }
    expect(() => npyFile.readFloats(8, 3)).toThrow(expect.objectContaining({ code: 'NPY_RANGE' }))
    npyFile.close()
    npyFile.close()
  })

  test('what is written is read again to the bit', () => {
    const path = join(folder, 'written.npy')
    const values = Float32Array.of(0, 1.5, -2.25, 1e-40, 3e38, -0).subarray(1)
    writeNpy(path, values, 1)
    expect(readMatrix(path)).toEqual({ values, rows: 5, columns: 1 })
    writeNpy(path, Int32Array.of(-1, 2 ** 31 - 1, 0, 7), 2)
    const ints = new NpyFile(path)
    expect([ints.rows, ints.columns, ...ints.readInts(0, 2)]).toEqual([2, 2, -1, 2 ** 31 - 1, 0, 7])
    ints.close()
  })

  test('version 2 headers, one-dimensional arrays and empty arrays are read', () => {
    const one = new NpyFile(
      npyText("{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", new Uint8Array(8), 2),
    )
    expect([one.rows, one.columns]).toEqual([2, 1])
    one.close()
    expect(readMatrix(npy('f16', 0, 384, new Uint16Array(0)))).toMatchObject({ rows: 0, columns: 384 })
  })
})

describe('bad files', () => {
  const dict = (descr: string, shape: string, order = 'False') =>
    `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }`
  const data = new Uint8Array(24)

  test.each([
    ['NPY_OPEN', () => join(folder, 'absent.npy')],
    ['NPY_MAGIC', () => file('')],
    ['NPY_MAGIC', () => file('PK\x03\x04 a zip file, as .npz is')],
    ['NPY_VERSION', () => npyText(dict('<f4', '(2, 3)'), data, 3)],
    ['NPY_HEADER', () => npyText("{'descr': '<f4'}", data)],
    ['NPY_HEADER', () => npyText(dict('<f4', '(-2, 3)'), data)],
    ['NPY_TYPE', () => npyText(dict('<f8', '(1, 3)'), data)],
    ['NPY_TYPE', () => npyText(dict('>f4', '(2, 3)'), data)],
    ['NPY_TYPE', () => npyText("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2, 3), }", data)],
    ['NPY_ORDER', () => npyText(dict('<f4', '(2, 3)', 'True'), data)],
    ['NPY_SHAPE', () => npyText(dict('<f4', '()'), data)],
    ['NPY_SHAPE', () => npyText(dict('<f4', '(1, 2, 3)'), data)],
    ['NPY_SHAPE', () => npyText(dict('<f4', '(6, 0)'), data)],
    ['NPY_SHAPE', () => npyText(dict('<f4', '(9007199254740991, 9007199254740991)'), data)],
    ['NPY_TRUNCATED', () => npyText(dict('<f4', '(3, 3)'), data)],
    ['NPY_LENGTH', () => npyText(dict('<f4', '(1, 3)'), data)],
  ])('%s (case %#)', (code, make) => {
    expect(codeOf(make())).toBe(code)
  })

  test('a header that claims more than the file has is refused before anything is allocated for it', () => {
    const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]
    expect(codeOf(file(Uint8Array.of(...magic, 2, 0, 255, 255, 255, 255, 0)))).toBe('NPY_HEADER')
    expect(codeOf(file(Uint8Array.of(...magic, 1, 0, 200, 0, 0x7b)))).toBe('NPY_TRUNCATED')
    expect(codeOf(file(Uint8Array.of(...magic, 2, 0, 200)))).toBe('NPY_TRUNCATED')
  })

  test('every cut of a good file is refused', () => {
    const good = Buffer.concat([encodeHeader('f32', 2, 2), new Uint8Array(16)])
    for (let bytes = 0; bytes < good.length; bytes++) {
      expect(codeOf(file(good.subarray(0, bytes)))).toMatch(/^NPY_(MAGIC|TRUNCATED)$/)
    }
  })

  test('a damaged header gives a coded error or one that the file bears out', () => {
    const good = Buffer.concat([encodeHeader('f16', 30, 4), new Uint8Array(240)])
    const random = seededRandom(1)
    let accepted = 0
    for (let round = 0; round < 5_000; round++) {
      const bad = Buffer.from(good)
      for (let flips = 0; flips < 1 + (round % 3); flips++)
        bad[Math.floor(random() * 128)] = Math.floor(random() * 256)
      try {
        const { rows, columns, type, dataOffset } = decodeHeader(bad, bad.length, 'x.npy')
        expect(dataOffset + rows * columns * bytesPerValue[type]).toBe(bad.length)
        accepted++
      } catch (error) {
        expect((error as { code?: string }).code).toMatch(/^NPY_/)
      }
    }
    expect(accepted).toBeGreaterThan(0)
    expect(accepted).toBeLessThan(5_000)
  })
})
