// The ways in which a simulated disk may come out of a power cut, by number, and what makes two of them the same.
import type { PowerCut, SimFs } from '@drift/fs'
import { kernels } from '@drift/native'

/** Which unsynced writes and names survive, by variant; the seeds of the random ones come from workload, cut and variant. */
const SURVIVAL = [
  ['none', 'none'],
  ['none', 'all'],
  ['all', 'none'],
  ['all', 'all'],
  'kill',
  ['random', 'none'],
  ['random', 'all'],
  ['none', 'random'],
  ['all', 'random'],
  ...Array.from({ length: 7 }, () => ['random', 'random'] as const),
] as const

export const VARIANTS: number = SURVIVAL.length

/** The process ends and the system does not: every write is there, and still not synced. */
export function isKill(variant: number): boolean {
  return SURVIVAL[variant] === 'kill'
}

/** @param seed - decides what is random. */
export function cutDisk(disk: SimFs, variant: number, seed: number, options?: SimFsOptions): SimFs {
  const survival = SURVIVAL[variant]!
  if (survival === 'kill') return disk.processKill(options)
  const [data, entries] = survival
  const cut: PowerCut = { data, entries, seed: mixed(seed, variant) }
  return disk.powerCut(cut, options)
}

type SimFsOptions = ConstructorParameters<typeof SimFs>[0]

/** A number from several, with every bit of each in it. */
export function mixed(...values: readonly number[]): number {
  let state = 0x9e3779b9
  for (const value of values) {
    state = Math.imul(state ^ value, 0x85ebca6b)
    state ^= state >>> 13
    state = Math.imul(state, 0xc2b2ae35)
    state ^= state >>> 16
  }
  return state >>> 0
}

/** 64 bits of every name and byte below a folder: equal for those that a program cannot tell apart. */
export function contentKey(disk: SimFs, folder: string): string {
  let [low, high] = [0, 0xffff_ffff]
  const add = (bytes: Uint8Array): void => {
    low = kernels.crc32c(bytes, low)
    high = kernels.crc32c(bytes, (high ^ low) >>> 0)
  }
  const visit = (folder: string): void => {
    for (const name of disk.list(folder)) {
      const path = `${folder}/${name}`
      const { kind, bytes } = disk.stat(path)!
      add(Buffer.from(`${path} ${kind} ${bytes}`))
      if (kind === 'folder') visit(path)
      else {
        const content = new Uint8Array(bytes)
        const fd = disk.open(path, 'read')
        disk.read(fd, content, 0)
        disk.close(fd)
        add(content)
      }
    }
  }
  if (disk.stat(folder)) visit(folder)
  return `${low} ${high}`
}
