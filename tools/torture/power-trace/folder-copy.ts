// A simulated disk as a folder of this machine, and whether the two hold the same.
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SimFs } from '@drift/fs'
import { contentOf } from '../files.js'

/** The folder holds what the disk holds, and nothing else. */
export function writeFolder(disk: SimFs, folder: string, path = '/'): void {
  if (path === '/') rmSync(folder, { recursive: true, force: true })
  mkdirSync(join(folder, path))
  for (const name of disk.list(path)) {
    const below = join(path, name)
    if (disk.stat(below)!.kind === 'folder') writeFolder(disk, folder, below)
    else writeFileSync(join(folder, below), contentOf(disk, below))
  }
}

/** Paths that only one of the two has, or that differ. */
export function differences(disk: SimFs, folder: string, path = '/'): string[] {
  const [here, there] = [readdirSync(join(folder, path)), disk.list(path)]
  return [...new Set([...here, ...there])].flatMap(name => {
    const below = join(path, name)
    if (!here.includes(name) || !there.includes(name)) return [below]
    const isFolder = statSync(join(folder, below)).isDirectory()
    if (isFolder !== (disk.stat(below)!.kind === 'folder')) return [below]
    if (isFolder) return differences(disk, folder, below)
    return readFileSync(join(folder, below)).equals(contentOf(disk, below)) ? [] : [below]
  })
}
