/** .npy, NumPy format 1.0 to 3.0: a row-major matrix of float64, float32, float16 or uint8. numpy.lib.format has the drawing. */
import { open } from 'node:fs/promises'
import { broken } from './broken.js'
import { byteValues, doubles, fixedRows, floats, halves, readAt } from './bytes.js'
import type { Source, SourceOptions } from './source.js'
import { MAX_DIM } from './vecs.js'

const NPY_MAGIC = '\x93NUMPY'
/** NumPy's own limit. */
const MAX_HEADER_BYTES = 10_000

const TYPES: Readonly<Record<string, { readonly bytes: number; readonly decode: typeof floats }>> = {
  '<f8': { bytes: 8, decode: doubles },
  '<f4': { bytes: 4, decode: floats },
  '<f2': { bytes: 2, decode: halves },
  '|u1': { bytes: 1, decode: byteValues },
  '<u1': { bytes: 1, decode: byteValues },
}

export async function openNpy(path: string, options: SourceOptions): Promise<Source> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const start = await readAt(file, path, 0, Math.min(size, 12))
    if (start.toString('latin1', 0, 6) !== NPY_MAGIC || start.length < 10)
      throw broken(path, 'is no .npy file')
    const version = start[6]!
    if (version < 1 || version > 3) throw broken(path, `has the .npy version ${version}, expected 1 to 3`)
    const textAt = version === 1 ? 10 : 12
    if (size < textAt) throw broken(path, 'ends inside its header')
    const length = version === 1 ? start.readUInt16LE(8) : start.readUInt32LE(8)
    if (length > MAX_HEADER_BYTES)
      throw broken(path, `has a header of ${length} bytes, more than NumPy writes (${MAX_HEADER_BYTES})`)
    if (textAt + length > size) throw broken(path, 'ends inside its header')
    const header = (await readAt(file, path, textAt, length)).toString('latin1')
    const name = /'descr'\s*:\s*'([^']{1,20})'/.exec(header)?.[1] ?? ''
    const type = Object.hasOwn(TYPES, name) ? TYPES[name] : undefined
    if (!type) throw broken(path, `holds '${name}', expected float64, float32, float16 or uint8`)
    if (!/'fortran_order'\s*:\s*False/.test(header))
      throw broken(path, 'is stored column by column; write numpy.ascontiguousarray(it)')
    const shape = /'shape'\s*:\s*\((\d{1,15}),\s*(\d{1,15}),?\s*\)/.exec(header)
    if (!shape) throw broken(path, 'is not a matrix: expected the shape (rows, values)')
    const [rows, dim] = [Number(shape[1]), Number(shape[2])]
    if (dim < 1 || dim > MAX_DIM) throw broken(path, `has rows of ${dim} values, expected 1 to ${MAX_DIM}`)
    const wanted = textAt + length + rows * dim * type.bytes
    if (size !== wanted)
      throw broken(path, `has ${size} bytes, its shape (${rows}, ${dim}) needs ${wanted}: it was cut or grew`)
    const fixed = { rows, dim, stride: dim * type.bytes, at: textAt + length, lead: 0, decode: type.decode }
    return fixedRows(file, path, fixed, options)
  } catch (error) {
    await file.close()
    throw error
  }
}
