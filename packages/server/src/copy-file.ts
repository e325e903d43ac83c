/** A file's bytes under another name, perhaps on another disk, piece by piece, so that whoever copies can stop between two of them. */
import type { DriftFs } from '@drift/fs'

const COPY_BYTES = 1024 * 1024

/** Yields the bytes of each piece. Synced when it ends; the name is durable after `syncFolder`. */
export function* copyFile(fs: DriftFs, targetFs: DriftFs, from: string, to: string): Generator<number, void> {
  const buffer = new Uint8Array(COPY_BYTES)
  const source = fs.open(from, 'read')
  try {
    const fd = targetFs.open(to, 'create')
    try {
      for (let at = 0; ; ) {
        const read = fs.read(source, buffer, at)
        if (read === 0) break
        targetFs.write(fd, buffer.subarray(0, read), at)
        at += read
        yield read
      }
      targetFs.fsync(fd)
    } finally {
      targetFs.close(fd)
    }
  } finally {
    fs.close(source)
  }
}
