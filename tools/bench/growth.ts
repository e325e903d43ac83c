// `npm run bench -- growth`: how queries per second at one recall fall while the rows of one generator grow.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CompareOptions, measureSet } from './compare.js'
import { prepare, sourcesOf } from './data-set.js'
import { quantile } from './measure.js'
import { byPass, spread } from './report.js'

const SIZES = [100_000, 200_000, 500_000, 1_000_000]
const RECALL = 0.95

/** Sizes up to `options.maxRows`, all queries and all smaller sets shared. */
export async function growth(dim: number, options: CompareOptions): Promise<void> {
  const kept = []
  const first = new Map<string, number>()
  for (const rows of SIZES.filter(size => size <= options.maxRows)) {
    const [source] = sourcesOf([`mix:${rows}x${dim}`], undefined)
    const result = await measureSet(prepare(source!, rows), { ...options, ks: [10] })
    kept.push(result)
    for (const { name, sweeps } of result.engines) {
      const rates = byPass(sweeps['10']!, 'calls', RECALL)
      const rate = rates && quantile(rates, 0.5)
      if (rate !== undefined && !first.has(name)) first.set(name, rate)
      const fall = rate === undefined ? '' : `, fallen ${(first.get(name)! / rate).toFixed(2)} times`
      console.log(
        `${rows} rows, ${name}: ${spread(rates, value => value.toFixed(0))} queries/s at ${RECALL}${fall}`,
      )
    }
  }
  const path = join(options.out, `growth-${dim}.json`)
  writeFileSync(path, `${JSON.stringify(kept)}\n`)
  console.log(`kept in ${path}`)
}
