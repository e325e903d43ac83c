/** .fvecs and .bvecs: each row is its length as int32, then that many float32 or bytes. corpus-texmex.irisa.fr has the drawing. */
import { open } from 'node:fs/promises'
import { broken } from './broken.js'
import { byteValues, fixedRows, floats, readAt } from './bytes.js'
import type { Source, SourceOptions } from './source.js'

/** Of a collection. */
export const MAX_DIM = 4_096

/** @param bytes - of a value. */
export async function openVecs(path: string, bytes: 1 | 4, options: SourceOptions): Promise<Source> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (size < 4) throw broken(path, 'is too short')
    const dim = (await readAt(file, path, 0, 4)).readInt32LE()
    if (dim < 1 || dim > MAX_DIM)
      throw broken(path, `begins with a row of ${dim} values, expected 1 to ${MAX_DIM}`)
    const stride = 4 + dim * bytes
    if (size % stride !== 0)
      throw broken(path, `has ${size} bytes, which are no rows of ${dim} values: it was cut`)
    const decode = bytes === 4 ? floats : byteValues
    return fixedRows(file, path, { rows: size / stride, dim, stride, at: 0, lead: 4, decode }, options)
  } catch (error) {
    await file.close()
    throw error
  }
}
