/** Proves that waiting for some operations of the log does not wait for those that are logged meanwhile, of which there may be no end. */
import { WalWriter } from '@drift/core'
import { SimFs } from '@drift/fs'
import { expect, it } from 'vitest'
import { Journal } from './journal.js'

/** Operations, each of which is logged when the one before is applied. */
const MANY = 1000

it('what is waited for is applied while others are still being logged', async () => {
  const fs = new SimFs()
  fs.makeFolder('/db')
  const journal = new Journal()
  const writer = await WalWriter.open({
    fs,
    folder: '/db',
    database: new Uint8Array(16),
    firstFile: 1,
    firstLsn: 1,
    nonce: () => 1n,
    sync: 'always',
    onDurable: lsn => journal.applyUpTo(lsn),
  })
  journal.start(writer, 0)
  let applied = 0
  const log = (): void => {
    const effect = {
      apply() {
        applied++
        if (applied < MANY) log()
      },
      abandon() {},
    }
    void journal.log(Uint8Array.of(applied), effect).done
  }
  log()
  await journal.settle(1)
  expect(applied).toBeGreaterThan(0)
  expect(applied).toBeLessThan(MANY)
  await journal.settle()
  expect(journal.durableLsn).toBe(MANY)
  await writer.close()
})
