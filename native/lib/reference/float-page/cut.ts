/**
 * Where ALP-RD cuts the values of a page: the number of left bits, and the dictionary of the most frequent, by which a sample costs least.
 */
import { DICTIONARY_MAX, FLAG_SIGN, LEFT_BITS_MAX, type PageHeader } from './header.js'

/** Of a gap between exceptions. */
export const POSITION_BITS = 8
/** Sign and exponent of a float32: the cuts up to here are counted in one table. */
const COARSE_BITS = 9

/** Values that share their left bits. */
interface Run {
  readonly left: number
  count: number
}

/**
 * The cheapest cut into `header` when it costs less than `best`, in bits of the sample.
 *
 * @param keys - the highest 16 of each value's `bits`, without the sign when that stands apart, above zeros when they are fewer.
 * @returns the least cost, at most `best`.
 */
export function chooseCut(
  keys: Uint16Array,
  bits: number,
  sign: number,
  wordBits: number,
  best: number,
  header: PageHeader,
): number {
  const coarse = Math.min(bits, COARSE_BITS)
  const cost = (runs: readonly Run[], left: number, least: number) =>
    tryCut(runs, left, keys.length, bits, sign, wordBits, least, header)
  let least = best
  let before = best
  const sorted = keys.slice().sort()
  let runs = runsOf(sorted, coarse)
  for (let left = coarse; left > 0; left--, runs = halve(runs)) {
    least = cost(runs, left, least)
    if (left === coarse) before = least
  }
  // Finer cuts are worth their time only when the finest so far is better than the next: values are clustered then.
  if (least < before || coarse === bits) return least
  const finest = Math.min(bits, LEFT_BITS_MAX)
  runs = runsOf(sorted, finest)
  for (let left = finest; left > coarse; left--, runs = halve(runs)) least = cost(runs, left, least)
  return least
}

function runsOf(sorted: Uint16Array, leftBits: number): Run[] {
  const runs: Run[] = []
  for (const key of sorted) {
    const left = key >> (LEFT_BITS_MAX - leftBits)
    const last = runs.at(-1)
    if (last?.left === left) last.count++
    else runs.push({ left, count: 1 })
  }
  return runs
}

/** The same with one left bit less. */
function halve(runs: readonly Run[]): Run[] {
  const halved: Run[] = []
  for (const { left, count } of runs) {
    const last = halved.at(-1)
    if (last?.left === left >> 1) last.count += count
    else halved.push({ left: left >> 1, count })
  }
  return halved
}

function tryCut(
  runs: readonly Run[],
  leftBits: number,
  count: number,
  bits: number,
  sign: number,
  wordBits: number,
  best: number,
  header: PageHeader,
): number {
  // The sort is stable: ties stay in order.
  const top = [...runs].sort((a, b) => b.count - a.count).slice(0, DICTIONARY_MAX)
  const right = bits - leftBits
  const exceptionBits = POSITION_BITS + (leftBits > 8 ? 16 : 8)
  let least = best
  for (let codeBits = 0; codeBits <= 3 && codeBits <= leftBits; codeBits++) {
    const entries = top.slice(0, 1 << codeBits)
    const covered = entries.reduce((sum, run) => sum + run.count, 0)
    const width = sign + codeBits + right
    const cost = count * width + (count - covered) * exceptionBits
    if (cost >= least || width >= wordBits) continue
    least = cost
    header.width = width
    header.right = right
    header.flags = sign === 0 ? 0 : FLAG_SIGN
    header.entries = entries.length
    header.codeBits = codeBits
    header.dictionary.fill(0)
    header.dictionary.set(entries.map(run => run.left))
  }
  return least
}
