// Proves: a process that opens and closes databases again and again keeps nothing of them, neither files nor threads. Built code in a process of
// its own, whose descriptors nobody else has.
import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { temporaryFolder } from './fixture.js'

it.runIf(process.platform === 'linux')(
  'databases that are closed as soon as they are open leave no file and no thread',
  () => {
    const program = `
    const { readdirSync, readlinkSync } = await import('node:fs')
    const { Drift } = await import('${new URL('../dist/index.js', import.meta.url).href}')
    const target = fd => { try { return readlinkSync('/proc/self/fd/' + fd) } catch { return '' } }
    const held = () => ({
      files: readdirSync('/proc/self/fd').map(target).filter(path => path.startsWith('/') && !path.startsWith('/dev/')),
      threads: readdirSync('/proc/self/task').length,
    })
    const before = held()
    for (let i = 0; i < 12; i++) await (await Drift.open(${JSON.stringify(temporaryFolder())}, { threads: 4 })).close()
    const after = held()
    process.stdout.write(JSON.stringify({ before, after }))`
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 120_000 })
    const { before, after } = JSON.parse(String(out))
    expect(after).toEqual(before)
  },
)
