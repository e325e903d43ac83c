// Every kernel, called from plain C with random arguments between forbidden pages and under the sanitizers, agrees with
// plain loops; and the harness that says so notices each kind of fault. Long form: node scripts/sanitize.mjs --calls 1e7
import { spawnSync } from 'node:child_process'
import { beforeAll, describe, expect, it } from 'vitest'
// @ts-expect-error plain JavaScript
import { arm64Harness, arm64Tools } from '../scripts/cross.mjs'
// @ts-expect-error plain JavaScript
import { harness, obstacle } from '../scripts/sanitize.mjs'
import { expectedVariants } from './variants.js'

const FAULTS = ['over_read', 'under_read', 'over_write', 'input_write', 'nothing_written', 'rounded_twice']

describe.each(['guard', 'sanitizers'])('the C harness, %s', mode => {
  const reason: string | undefined = obstacle(mode)
  const title = (text: string): string => (reason ? `${text} (not here: ${reason})` : text)
  let program = ''

  beforeAll(async () => {
    if (!reason) program = await harness(mode)
  })

  it.skipIf(reason)(title('finds nothing wrong in 10 000 calls of every variant that the CPU has'), () => {
    const { status, stdout, stderr } = run(program, ['--calls', '10000'])
    expect(stderr).toBe('')
    expect(status).toBe(0)
    expect(variantsOf(stdout)).toEqual(expectedVariants().filter(name => name !== 'reference'))
  })

  it.skipIf(reason)(title('notices each kind of fault, and says how to see it again'), () => {
    for (const fault of mode === 'sanitizers' ? [...FAULTS, 'overflow'] : FAULTS) {
      const { status, stderr } = run(program, ['--family', fault, '--calls', '100'])
      expect(status, fault).not.toBe(0)
      const again = new RegExp(`in ${fault}, .*: (--seed .*)`).exec(stderr)?.[1]
      expect(again, stderr).toBeDefined()
      expect(run(program, again!.split(' ')).status, again).not.toBe(0)
    }
  })
})

describe('the C harness, arm64', () => {
  const { missing, emulator }: { missing?: string; emulator: string } = arm64Tools()

  it.skipIf(missing)(
    `finds nothing wrong in the NEON kernels${missing ? ` (not here: ${missing})` : ''}`,
    async () => {
      const { status, stdout, stderr } = run(emulator, [await arm64Harness(), '--calls', '3000'])
      expect(stderr).toBe('')
      expect(status).toBe(0)
      expect(variantsOf(stdout)).toEqual(['neon'])
    },
  )
})

function run(
  command: string,
  args: readonly string[],
): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  return { status, stdout, stderr }
}

/** The variants in the report's heading, all of which were called in the first row. */
function variantsOf(report: string): string[] {
  const [heading, first] = report.split('\n').map(line => line.trim().split(/\s+/))
  const variants = heading!.slice(1, -2)
  expect(first!.slice(1, -1).every(calls => Number(calls) > 0)).toBe(true)
  return variants
}
