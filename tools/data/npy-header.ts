// The header of a .npy file, and nothing else of it.
// Rule: a header that this file lets through describes bytes that are really there; everything else is a coded error.
// Source: NumPy Enhancement Proposal 1, "A Simple File Format for NumPy Arrays" (versions 1.0 and 2.0).
//
//   0  6  8          10 | 12
//   magic version    length   header (a Python dict in ASCII, padded with spaces, ends in \n)      values
//   93 NUMPY         u16|u32  {'descr': '<f2', 'fortran_order': False, 'shape': (10, 384), }       row-major
import { ToolError } from './tool-error.js'

export type NpyType = 'f16' | 'f32' | 'u8' | 'i32'

export interface NpyHeader {
  readonly type: NpyType
  readonly rows: number
  /** 1 for a one-dimensional array. */
  readonly columns: number
  /** Where the values begin. */
  readonly dataOffset: number
}

export const bytesPerValue: Readonly<Record<NpyType, number>> = { f16: 2, f32: 4, u8: 1, i32: 4 }

/** A real header has about 118 bytes; more than this is damage or another kind of file. */
export const MAX_HEADER_BYTES = 65_536

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]
const DESCRIPTIONS: Readonly<Record<string, NpyType>> = {
  '<f2': 'f16',
  '<f4': 'f32',
  '|u1': 'u8',
  '<u1': 'u8',
  '<i4': 'i32',
}
const NAMES: Readonly<Record<NpyType, string>> = { f16: '<f2', f32: '<f4', u8: '|u1', i32: '<i4' }

/**
 * @param start - the first bytes of the file: all of it, or at least 12 + MAX_HEADER_BYTES.
 * @param fileBytes - size of the whole file, which has to be exactly what the header promises.
 * @throws ToolError NPY_MAGIC, NPY_VERSION, NPY_TRUNCATED, NPY_HEADER, NPY_TYPE, NPY_ORDER, NPY_SHAPE, NPY_LENGTH.
 */
export function decodeHeader(start: Uint8Array, fileBytes: number, path: string): NpyHeader {
  const fail = (code: string, message: string): never => {
    throw new ToolError(code, `${path}: ${message}`, { path })
  }
  if (MAGIC.some((byte, i) => start[i] !== byte)) {
    fail('NPY_MAGIC', 'is not a .npy file: it does not begin with \\x93NUMPY')
  }
  if (start.length < 12) fail('NPY_TRUNCATED', `ends after ${fileBytes} bytes, inside its header`)
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength)
  const version = view.getUint8(6)
  if (version !== 1 && version !== 2) {
    fail('NPY_VERSION', `.npy version ${version}.${view.getUint8(7)} is not supported, expected 1.0 or 2.0`)
  }
  const textOffset = version === 1 ? 10 : 12
  const textBytes = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true)
  if (textBytes > MAX_HEADER_BYTES) fail('NPY_HEADER', `claims a header of ${textBytes} bytes`)
  const dataOffset = textOffset + textBytes
  if (dataOffset > start.length) fail('NPY_TRUNCATED', `ends after ${fileBytes} bytes, inside its header`)

  const text = Buffer.from(start.subarray(textOffset, dataOffset)).toString('latin1')
  const description = /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1]
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1]
  const shape = /'shape'\s*:\s*\(([\d\s,]*)\)/.exec(text)?.[1]
  if (order === undefined || shape === undefined) {
    fail('NPY_HEADER', 'header names no fortran_order or no shape of plain numbers')
  }
  const type = DESCRIPTIONS[description ?? '']
  if (type === undefined) {
    const found = description === undefined ? 'a structured type' : `'${description}'`
    return fail('NPY_TYPE', `holds ${found}, expected one of ${Object.keys(DESCRIPTIONS).join(' ')}`)
  }
  if (order === 'True') fail('NPY_ORDER', 'is stored column by column (fortran_order), expected row-major')

  const sizes = shape!.split(',').flatMap(part => (part.trim() === '' ? [] : [Number(part)]))
  const [rows, columns = 1] = sizes
  if (rows === undefined || sizes.length > 2 || columns < 1) {
    return fail('NPY_SHAPE', `has the shape (${shape}), expected (rows) or (rows, columns)`)
  }
  const expected = dataOffset + rows * columns * bytesPerValue[type]
  if (!Number.isSafeInteger(expected)) fail('NPY_SHAPE', `has the shape (${shape}), which no file can hold`)
  if (expected > fileBytes) {
    fail('NPY_TRUNCATED', `is cut: ${fileBytes} bytes, but the shape (${shape}) needs ${expected}`)
  }
  if (expected < fileBytes) {
    fail('NPY_LENGTH', `is ${fileBytes} bytes, but the shape (${shape}) accounts for ${expected} only`)
  }
  return { type, rows, columns, dataOffset }
}

/** A version 1.0 header, padded so that the values begin at a multiple of 64. */
export function encodeHeader(type: NpyType, rows: number, columns: number): Uint8Array {
  const dict = `{'descr': '${NAMES[type]}', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`
  const bytes = Math.ceil((10 + dict.length + 1) / 64) * 64
  const header = new Uint8Array(bytes).fill(0x20)
  header.set(MAGIC)
  header.set([1, 0], 6)
  new DataView(header.buffer).setUint16(8, bytes - 10, true)
  header.set(Buffer.from(dict, 'latin1'), 10)
  header[bytes - 1] = 0x0a
  return header
}
