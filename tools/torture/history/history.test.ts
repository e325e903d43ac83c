// Proves: whatever users and the power do one after the other, the database holds what the model holds, finds what brute force finds, and
// its backups open; and that a fault would be found and shrunk to the commands that matter. Long form: tools/torture/history.ts.
import * as core from '@drift/core'
import * as fs from '@drift/fs'
import * as server from '@drift/server'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Modules } from '../power/world.js'
import { World } from '../power/world.js'
import { histories, KINDS, runHistory } from './commands.js'

const modules: Modules = { core, fs, server }

function property(under: Modules, steps: number, kinds: Set<string>): fc.IAsyncProperty<[unknown]> {
  return fc.asyncProperty(histories(steps), async history => {
    const commands = [...history]
    for (const command of commands) kinds.add(command.toString().split(' ')[0]!)
    await runHistory(new World(under, {}), commands)
  })
}

describe('a history of writes, upkeep, searches, backups and power cuts', () => {
  test('leaves what the model holds', async () => {
    const kinds = new Set<string>()
    const result = await fc.check(property(modules, 80, kinds), { numRuns: 60, seed: 1 })
    expect(result.failed, `${fc.defaultReportMessage(result)} ${result.errorInstance}`).toBe(false)
    expect([...kinds].sort()).toEqual([...KINDS].sort())
  })

  test('is found out and shrunk when a disk forgets what was synced', async () => {
    class Forgetful extends fs.SimFs {
      override fdatasync(): void {}
    }
    const under: Modules = { ...modules, fs: { ...fs, SimFs: Forgetful } }
    const result = await fc.check(property(under, 40, new Set()), { numRuns: 40, seed: 1 })
    expect(result.failed).toBe(true)
    const commands = String(result.counterexample![0]).split(/,(?=\w+ \()/)
    expect(commands.length).toBeLessThanOrEqual(4)
    expect(String(result.counterexample![0])).toMatch(/crash/)
  })
})
