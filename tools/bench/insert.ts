// `npm run bench -- insert`: rows a second into, and out of, an index that is already filled, without the searches.
import { type CompareOptions, measureSet } from './compare.js'
import { prepare } from './data-set.js'
import type { Source } from './vectors.js'

export async function insert(sources: readonly Source[], options: CompareOptions): Promise<void> {
  for (const source of sources) {
    const { name, rows, engines } = await measureSet(prepare(source, options.maxRows), { ...options, ks: [] })
    console.log(`${name}, ${rows} rows, one core:`)
    for (const engine of engines) {
      const rate = (value: number | undefined) => (value === undefined ? 'none' : `${value.toFixed(0)}/s`)
      const { insertsPerSecond, removesPerSecond } = engine.churned
      console.log(`  ${engine.name}: inserts ${rate(insertsPerSecond)}, deletes ${rate(removesPerSecond)}`)
    }
  }
}
