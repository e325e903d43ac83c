// Proves: what the real process, threads and addon included, has acknowledged is on stable storage, by a record of what it asked of the
// kernel; and that this would notice a sync that is missing.
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type LossRound, powerLosses } from './losses.js'
import { buildShim, losePower, obstacle } from './round.js'

const reason = obstacle()
const rounds: LossRound[] = []

describe.skipIf(reason !== undefined)(
  `power loss of the real process${reason ? ` (skipped: ${reason})` : ''}`,
  () => {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'drift-power-')))
    afterAll(() => rmSync(folder, { recursive: true }))

    test('takes nothing that was acknowledged, and leaves nothing that was not asked for', async () => {
      for await (const round of powerLosses({
        folder,
        shim: buildShim(folder),
        rounds: 6,
        cuts: 5,
        seed: 3,
      })) {
        expect(round.wrong).toEqual([])
        rounds.push(round)
      }
      expect(rounds).toHaveLength(6)
      expect(rounds.reduce((sum, { acknowledged }) => sum + acknowledged, 0)).toBeGreaterThan(100)
    })

    test('sees files being closed, so that a descriptor that is used again is not taken for one of them', () => {
      const closed = rounds.flatMap(({ run }) => run.records).filter(({ kind }) => kind === 'closed')
      expect(closed.length).toBeGreaterThan(0)
    })

    test.each([
      ['log files', /\/(tmp-)?wal-/],
      ['manifests', /\/(manifest|tmp)/],
      ['segments', /\/(seg|tmp)/],
      ['folders', /^\/(db)?$/],
    ])('loses what was acknowledged on a device that does not sync %s', async (_, lies) => {
      const unsynced = (path: string): boolean => lies.test(path)
      const verdicts = []
      for (const { run } of rounds)
        verdicts.push(await losePower(run, { cut: run.records.length, variant: 0, seed: 1, unsynced }))
      expect(verdicts.filter(({ wrong }) => wrong !== '').length).toBeGreaterThan(0)
    })
  },
)
