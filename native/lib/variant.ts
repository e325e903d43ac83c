/**
 * Which variants this machine runs, and which one the environment asks for.
 */
import { addon, type RawKernels } from './addon.js'
import { checked } from './checked.js'
import { NativeError } from './error.js'
import type { Kernels, KernelVariant } from './kernels.js'
import { nativeKernels } from './native-kernels.js'
import { reference } from './reference.js'

const compiled = Object.entries(addon?.variants ?? {}) as [KernelVariant, RawKernels][]
const sets = new Map<string, Kernels>([
  ['reference', checked(reference)],
  ...compiled.map(([variant, raw]): [string, Kernels] => [variant, checked(nativeKernels(variant, raw))]),
])

/** Slowest first; `reference` is always there. */
export function supportedVariants(): KernelVariant[] {
  return [...sets.keys()] as KernelVariant[]
}

/** The kernels of one variant, or DRIFT_KERNEL_VARIANT when this machine does not run it. */
export function kernelsOf(variant: KernelVariant): Kernels {
  const set = sets.get(variant)
  if (set) return set
  throw new NativeError(
    'DRIFT_KERNEL_VARIANT',
    `kernel variant '${variant}' does not run here, expected one of: ${supportedVariants().join(', ')}`,
    { variant, supported: supportedVariants() },
  )
}

/** The fastest variant, or the one that DRIFT_KERNELS names. */
export function chosenKernels(named: string | undefined): Kernels {
  return kernelsOf((named || supportedVariants().at(-1)) as KernelVariant)
}
