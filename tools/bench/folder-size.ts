import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

export interface FolderBytes {
  /** Segments, tombstones, checkpoints and manifests: what grows with the rows. */
  readonly data: number
  /** Write-ahead log files, preallocated: what writing costs, whatever the number of rows. */
  readonly log: number
}

/** Lengths of all files of a database's folder. */
export function folderBytes(folder: string): FolderBytes {
  const bytes = { data: 0, log: 0 }
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    bytes[entry.name.startsWith('wal-') ? 'log' : 'data'] += statSync(join(entry.parentPath, entry.name)).size
  }
  return bytes
}
