/** Proves that the finalists are the best distinct rows, however often and in whatever order rows were met. */
import { expect, it } from 'vitest'
import { seededRandom } from '../random.js'
import { chooseFinalists } from './finalists.js'
import { Scratch } from './scratch.js'

it('are those that sorting and dropping repetitions gives, behind the ones that are there', () => {
  const random = seededRandom(8)
  for (let round = 0; round < 200; round++) {
    const scratch = new Scratch(1)
    const rows = 1 + Math.floor(random() * 40)
    const met = Math.floor(random() * 200)
    const best = 1 + Math.floor(random() * 50)
    // A row has one estimate; few values, so that different rows have equal ones.
    const estimates = Float32Array.from({ length: rows }, () => Math.floor(random() * 12))
    scratch.reserveRows(met)
    for (let i = 0; i < met; i++) {
      scratch.rows[i] = Math.floor(random() * rows)
      scratch.estimates[i] = estimates[scratch.rows[i]!]!
    }
    scratch.reserveFinalists(2)
    scratch.finalists.set([77, 78])
    const chosen = chooseFinalists(scratch, met, best, 2)
    const distinct = [...new Set(scratch.rows.subarray(0, met))]
      .map(row => estimates[row]!)
      .sort((a, b) => a - b)
    const expected = distinct.slice(0, best)
    const found = [...scratch.finalists.subarray(2, 2 + chosen)]
    expect(new Set(found).size).toBe(chosen)
    expect(found.map(row => estimates[row])).toEqual(expected)
    expect([...scratch.ordered.subarray(0, chosen)]).toEqual(expected)
    expect([...scratch.finalists.subarray(0, 2)]).toEqual([77, 78])
  }
})
