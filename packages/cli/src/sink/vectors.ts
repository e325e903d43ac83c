/** .npy (float32), .fvecs and .bvecs: vectors only; numpy.lib.format and corpus-texmex.irisa.fr have the drawings. */
import { CliError } from '../errors.js'
import type { Sink } from './sink.js'

/** As NumPy pads it, with room for any number of rows. */
const NPY_HEAD_BYTES = 128

export function npySink(dim: number): Sink {
  return { head: npyHead(0, dim), finalHead: rows => npyHead(rows, dim), idsApart: true, row: bytesOf }
}

/** @param bytes - of a value. */
export function vecsSink(dim: number, bytes: 1 | 4): Sink {
  const lead = new Uint8Array(new Int32Array([dim]).buffer)
  return {
    head: '',
    idsApart: true,
    row: row => Buffer.concat([lead, bytes === 4 ? bytesOf(row) : wholeBytes(row)]),
  }
}

function npyHead(rows: number, dim: number): Uint8Array {
  const head = Buffer.alloc(NPY_HEAD_BYTES, ' ')
  head.write('\x93NUMPY\x01\x00', 'latin1')
  head.writeUInt16LE(NPY_HEAD_BYTES - 10, 8)
  head.write(`{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${dim}), }`, 10, 'latin1')
  head.write('\n', NPY_HEAD_BYTES - 1)
  return head
}

interface WithVector {
  readonly id: unknown
  readonly vector?: Float32Array
}

function bytesOf({ vector }: WithVector): Uint8Array {
  return new Uint8Array(vector!.buffer, vector!.byteOffset, vector!.byteLength)
}

function wholeBytes({ id, vector }: WithVector): Uint8Array {
  const wrong = vector!.find(value => !(Number.isInteger(value) && value >= 0 && value <= 255))
  if (wrong === undefined) return Uint8Array.from(vector!)
  throw new CliError(
    'DRIFT_EXPORT_ROW',
    `row ${String(id)} holds ${wrong}, and .bvecs whole numbers from 0 to 255; take .fvecs`,
  )
}
