// The power may fail before any operation on the disk, of the engine at work and of its recovery. Whatever subset of the unsynced writes
// and names survived, the database opens with the state after some prefix of what was asked for that includes every acknowledged change:
// nothing lost, nothing invented, no batch half there. The same program as `npm run torture`, which does it for longer.
import * as core from '@drift/core'
import * as fs from '@drift/fs'
import * as server from '@drift/server'
import { describe, expect, it } from 'vitest'
import { VARIANTS } from './cut.js'
import { explore } from './explore.js'
import { WORKLOADS, type WorkloadName } from './workloads.js'
import type { Modules } from './world.js'

const modules: Modules = { core, fs, server }

/** Nothing of what was not synced, and by turns two of the other ways. */
function variants(cut: number): number[] {
  const others = VARIANTS - 1
  return [0, 1 + (cut % others), 1 + ((cut + (others >> 1)) % others)]
}

describe('a power cut before any operation on the disk', () => {
  it.each(Object.keys(WORKLOADS) as WorkloadName[])(
    'takes nothing that was acknowledged, and leaves nothing that was not asked for: %s',
    async workload => {
      const { failures, ...counts } = await explore({ modules, workload, seed: 1, variants, recut: 0.05 })
      expect(failures).toEqual([])
      expect(counts.states).toBe(3 * counts.cuts)
      expect(counts.cuts).toBeGreaterThan(100)
      expect(counts.opened).toBeGreaterThan(30)
    },
  )

  it('is the same list of operations each time, so that a failure is found again by its number', async () => {
    const run = () => explore({ modules, workload: 'rows', seed: 5, only: { cut: 200, variant: 6 } })
    const { failures, ...first } = await run()
    expect(failures).toEqual([])
    expect(first).toMatchObject({ states: 1 })
    expect(await run()).toEqual({ ...first, failures })
  })
})
