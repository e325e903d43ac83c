// Whole files of a simulated disk.
import type { SimFs } from '@drift/fs'

export function contentOf(disk: SimFs, path: string): Uint8Array {
  const bytes = new Uint8Array(disk.stat(path)!.bytes)
  const fd = disk.open(path, 'read')
  disk.read(fd, bytes, 0)
  disk.close(fd)
  return bytes
}

/** In place of what is there. */
export function put(disk: SimFs, path: string, bytes: Uint8Array): void {
  if (disk.stat(path)) disk.remove(path)
  const fd = disk.open(path, 'create')
  disk.write(fd, bytes, 0)
  disk.close(fd)
}

/** Everything below a folder, also between disks of two copies of the package. */
export function copyTree(from: SimFs, to: SimFs, folder: string): void {
  for (const name of from.list(folder || '/')) {
    const path = `${folder}/${name}`
    if (from.stat(path)!.kind === 'file') put(to, path, contentOf(from, path))
    else {
      to.makeFolder(path)
      copyTree(from, to, path)
    }
  }
}
