import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Bytes of all files under a folder: their lengths, whether or not the file system has stored them sparsely. */
export function folderBytes(folder: string): number {
  let bytes = 0
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath ?? entry.path, entry.name)).size
  }
  return bytes
}
