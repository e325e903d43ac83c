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
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const file = statSync(join(folder, name))
    if (file.isFile()) bytes[name.startsWith('wal-') ? 'log' : 'data'] += file.size
  }
  return bytes
}
