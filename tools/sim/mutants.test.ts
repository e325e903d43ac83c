// Proves that the gates of the simulator tell a broken healer: the index as it is passes all of them in a small run, and with any one part
// of its healing or learning taken out it misses at least one.
import { expect, test } from 'vitest'
import { passes } from './gates.js'
import { healthy, mutants, runMutant, smallGates } from './mutants.js'

const missed = async (mutant: typeof healthy) =>
  smallGates(await runMutant(mutant, 1)).filter(cell => !passes(cell))

test('the index as it is passes every gate', async () => {
  expect(await missed(healthy)).toEqual([])
})

test.each(mutants)('$name: a gate misses', async mutant => {
  expect(await missed(mutant)).not.toEqual([])
})
