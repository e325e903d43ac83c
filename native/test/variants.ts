// The variants under test: what the CPU says it has must be what the package offers, or a whole ISA goes untested.
import { readFileSync } from 'node:fs'
import { hasAddon, type KernelVariant, supportedVariants } from '../lib/index.js'
// @ts-expect-error plain JavaScript, which runs before anything is installed
import { compilerVersion } from '../scripts/toolchain.mjs'

/** Without a binary there is the reference alone; but CI on a machine with a compiler is there to test the binary. */
const binaryIsDue = process.env['CI'] === 'true' && compilerVersion() !== undefined

export function expectedVariants(): KernelVariant[] {
  if (!hasAddon && !binaryIsDue) return ['reference']
  if (process.arch === 'arm64') return ['reference', 'neon']
  const flags = new Set(cpuFlags())
  const variants: KernelVariant[] = ['reference', 'c']
  const avx512 = ['avx512f', 'avx512bw', 'avx512dq', 'avx512vl', 'avx512_vnni']
  if (flags.has('avx2') && flags.has('fma')) variants.push('avx2')
  if (avx512.every(flag => flags.has(flag))) variants.push('avx512')
  return variants
}

/** The variants to compare with the reference. */
export const compiled: readonly KernelVariant[] = supportedVariants().filter(name => name !== 'reference')

function cpuFlags(): string[] {
  const info = readFileSync('/proc/cpuinfo', 'utf8')
  return (/^flags\s*:(.*)$/m.exec(info)?.[1] ?? '').trim().split(/\s+/)
}
