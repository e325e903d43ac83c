/**
 * How urgent a bucket's merge is by "Drift-Aware Vector Indexing": Urgency = Emptiness / (T + eps) + beta * ZombieRatio.
 * Emptiness is the share of the target that is missing, ZombieRatio that of dead entries, T the temperature in units of the mean one.
 */

const BETA = 3
const EPS = 1e-3

/** From here on a bucket is scattered: half empty and a third dead, at mean temperature. The paper names no bound. */
export const URGENT = 1.5

/** Rows that one scattering may move. */
export const PAPER_MOVES = 50

export function emptinessOf(rows: number, target: number): number {
  return Math.max(0, 1 - rows / target)
}

export function zombieRatioOf(stored: number, live: number): number {
  return stored === 0 ? 0 : (stored - live) / stored
}

export function urgencyOf(emptiness: number, zombieRatio: number, temperature: number): number {
  return emptiness / (temperature + EPS) + BETA * zombieRatio
}
