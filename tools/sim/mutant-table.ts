// What each mutant does to the gates, as a table. Rule: a mutant that no gate tells is a survivor, and is shown as one.
import { passes } from './gates.js'
import { healthy, mutants, runMutant, smallGates } from './mutants.js'

export async function mutantTable(seed: number): Promise<{ table: string; survivors: number }> {
  const lines = ['| taken out | gates that miss: value (bound) |', '| --- | --- |']
  let survivors = 0
  for (const mutant of [healthy, ...mutants]) {
    const missed = smallGates(await runMutant(mutant, seed)).filter(cell => !passes(cell))
    const isHealthy = mutant.name === healthy.name
    if (missed.length > 0 === isHealthy) survivors++
    const told = missed.map(({ gate, value, bound }) => `${gate}: ${value?.toFixed(3)} (${bound.toFixed(3)})`)
    lines.push(`| ${mutant.name} | ${told.join(', ') || (isHealthy ? 'none' : '**none**')} |`)
  }
  return { table: lines.join('\n'), survivors }
}
