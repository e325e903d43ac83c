import type { DriftFs } from './drift-fs.js'

/** `close` of a descriptor that was only read. Never throws: nothing was written that could be lost, and a close that fails frees it all the same. */
export function closeRead(fs: DriftFs, fd: number): void {
  try {
    fs.close(fd)
  } catch {
    // See above; and whoever closes several goes on with the next.
  }
}
