// The variants offered are those of this CPU, and DRIFT_KERNELS chooses among them.
import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { kernels, kernelsOf, NativeError, supportedVariants } from '../lib/index.js'
import { chosenKernels } from '../lib/variant.js'
import { expectedVariants } from './variants.js'

describe('variants', () => {
  it.runIf(process.platform === 'linux')('are exactly those that the CPU has, slowest first', () => {
    expect(supportedVariants()).toEqual(expectedVariants())
  })

  it('are what their name says', () => {
    for (const name of supportedVariants()) expect(kernelsOf(name).variant).toBe(name)
  })

  it('default to the fastest', () => {
    expect(chosenKernels(undefined)).toBe(kernelsOf(supportedVariants().at(-1)!))
    expect(chosenKernels('')).toBe(chosenKernels(undefined))
    if (!process.env['DRIFT_KERNELS']) expect(kernels).toBe(chosenKernels(undefined))
  })

  it('can be forced by name, and an unknown name is refused with the ones that run here', () => {
    for (const name of supportedVariants()) expect(chosenKernels(name).variant).toBe(name)
    expect(() => chosenKernels('mmx')).toThrow(NativeError)
    expect(() => chosenKernels('mmx')).toThrow(/'mmx'.*reference/)
  })

  it('are read from DRIFT_KERNELS when the package is imported', () => {
    const run = (name: string): { stdout: string; stderr: string } =>
      spawnSync(
        process.execPath,
        [
          '--input-type=module',
          '-e',
          'const { kernels } = await import(process.argv[1]); process.stdout.write(kernels.variant)',
          new URL('../dist/index.js', import.meta.url).href,
        ],
        { encoding: 'utf8', env: { ...process.env, DRIFT_KERNELS: name } },
      )
    for (const name of supportedVariants()) expect(run(name).stdout).toBe(name)
    expect(run('mmx').stderr).toContain('DRIFT_KERNEL_VARIANT')
  })
})
