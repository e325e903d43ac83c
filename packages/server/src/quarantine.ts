/**
 * quarantine/: where files go that are damaged, or that a repair replaces. Rule: nothing in it is ever overwritten or deleted; a file that
 * finds its name taken gets the next free one beside it. Everything here is durable when it returns.
 */
import { join } from 'node:path'
import type { DriftFs } from '@drift/fs'
import { copyFile } from './copy-file.js'

/** Moves a file, or a folder that has a file's name. */
export function quarantine(fs: DriftFs, folder: string, name: string): void {
  const aside = makeAside(fs, folder)
  fs.rename(join(folder, name), join(aside, freeName(fs, aside, name)))
  syncBoth(fs, folder)
}

/**
 * Copies files that are needed where they are until others have replaced them. A folder that has a file's name is needed by nobody and is
 * moved. @returns their names there.
 */
export function copyAside(fs: DriftFs, folder: string, names: readonly string[]): string[] {
  if (names.length === 0) return []
  const aside = makeAside(fs, folder)
  const copies = names.map(name => {
    const from = join(folder, name)
    const target = freeName(fs, aside, name)
    if (fs.stat(from)?.kind === 'folder') fs.rename(from, join(aside, target))
    else for (const _ of copyFile(fs, fs, from, join(aside, target)));
    return target
  })
  syncBoth(fs, folder)
  return copies
}

/** What is lost, as JSON, beside the files that it was in; a bigint is written as `1n`. @returns the report's name there. */
export function reportAside(fs: DriftFs, folder: string, name: string, report: object): string {
  const aside = makeAside(fs, folder)
  const target = freeName(fs, aside, name)
  const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}n` : value)
  const text = `${JSON.stringify(report, plain, 2)}\n`
  const fd = fs.open(join(aside, target), 'create')
  try {
    fs.write(fd, new TextEncoder().encode(text), 0)
    fs.fsync(fd)
  } finally {
    fs.close(fd)
  }
  syncBoth(fs, folder)
  return target
}

function makeAside(fs: DriftFs, folder: string): string {
  const aside = join(folder, 'quarantine')
  fs.makeFolder(aside)
  return aside
}

function syncBoth(fs: DriftFs, folder: string): void {
  fs.syncFolder(join(folder, 'quarantine'))
  fs.syncFolder(folder)
}

function freeName(fs: DriftFs, aside: string, name: string): string {
  let target = name
  for (let copy = 1; fs.stat(join(aside, target)); copy++) target = `${name}.${copy}`
  return target
}
