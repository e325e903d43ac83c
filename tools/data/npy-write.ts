// Writes a matrix as a .npy file, whole or not at all: under another name first, which is renamed when it is complete.
import { closeSync, openSync, renameSync, writeSync } from 'node:fs'
import { encodeHeader } from './npy-header.js'

/** One write takes at most 2 GiB - 1 bytes. */
const WRITE_BYTES = 2 ** 30

/** @param values - row-major, a multiple of `columns` long. */
export function writeNpy(path: string, values: Float32Array | Int32Array, columns: number): void {
  const header = encodeHeader(values instanceof Int32Array ? 'i32' : 'f32', values.length / columns, columns)
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  const partial = `${path}.partial`
  const fd = openSync(partial, 'w')
  try {
    for (const part of [header, bytes]) {
      for (let done = 0; done < part.length; ) {
        done += writeSync(fd, part, done, Math.min(WRITE_BYTES, part.length - done))
      }
    }
  } finally {
    closeSync(fd)
  }
  renameSync(partial, path)
}
