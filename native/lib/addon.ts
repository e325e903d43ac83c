/**
 * The only file that knows where the binary is: prebuilds/<platform>-<arch>/drift-<abi>.node beside lib and dist.
 * Without one for this Node the package works with the TypeScript kernels and warns once, in the main thread.
 */
import { createRequire } from 'node:module'
import { isMainThread } from 'node:worker_threads'
import type { Kernels, KernelVariant } from './kernels.js'

export interface Addon {
  /** The compiled variants that this CPU runs, slowest first. */
  readonly variants: Readonly<Partial<Record<KernelVariant, RawKernels>>>
  /** @returns 0 or an errno. */
  flock(fd: number, exclusive: boolean, wait: boolean): number
  /** A hint that cannot fail. */
  adviseHugePages(bytes: Uint8Array): void
  giveWay(): void
  /** Has a thread touch shared memory. @returns false when it has something else to do. */
  touchAhead(bytes: Uint8Array): boolean
  /** Size of the C struct that `describeIndex` fills with pointers. */
  readonly indexBytes: number
  describeIndex(into: Uint8Array, ...parts: unknown[]): void
  /** A full collection, now. */
  collectGarbage(): void
}

/** Kernels as C exports them: the metric is a number, every argument is given, and nothing is checked. */
export type RawKernels = {
  readonly [K in Exclude<keyof Kernels, 'variant'>]: (...args: never[]) => unknown
}

/** Undefined when there is no binary for this Node. */
export const addon: Addon | undefined = load()

export const hasAddon: boolean = addon !== undefined

function load(): Addon | undefined {
  const require = createRequire(import.meta.url)
  const { platform, arch, versions } = process
  try {
    return require(`../prebuilds/${platform}-${arch}/drift-${versions.modules}.node`)
  } catch (error) {
    // Not only a missing file: a binary of another C library or a truncated one is no reason to stop either.
    const { code, message } = error as NodeJS.ErrnoException
    warn(
      code === 'MODULE_NOT_FOUND'
        ? `it has no addon for ${platform}-${arch} and this Node`
        : firstLine(message),
    )
    return undefined
  }
}

function warn(reason: string): void {
  // Threads only repeat what the main thread said; asking for the reference says that its speed is known.
  if (!isMainThread || process.env['DRIFT_KERNELS'] === 'reference') return
  process.emitWarning(`@drift/native runs its TypeScript kernels, several times slower, because ${reason}.`, {
    code: 'DRIFT_NO_ADDON',
    detail:
      'To build the addon, install a C++ compiler, make and Python 3 (Debian, Ubuntu: apt-get install g++ make python3), then run scripts/build-addon.mjs of the package.',
  })
}

function firstLine(message: string): string {
  return `the addon did not load: ${message.split('\n')[0]}`
}
