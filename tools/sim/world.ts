// The three synthetic worlds that runbooks play in: clustered, overlapping, isotropic. Rule: a topic's vectors are drawn afresh
// for every row and every query, so a query is never a row.
import { seededRandom } from '@drift/core'
import { Topics } from '../data/topics.js'

export type WorldName = 'mix' | 'hard' | 'iso'

/** Values of a vector in every synthetic runbook. */
export const WORLD_DIM = 96

/** Latent directions and spread. Centres have standard deviation 1, so `hard` topics lie inside each other. */
const SHAPES = {
  mix: { latent: 16, spread: 0.7, zipf: 1 },
  hard: { latent: 24, spread: 2, zipf: 0.7 },
  iso: { latent: undefined, spread: 0.5, zipf: 0.5 },
} as const

/** Rows of a topic, on average. */
const TOPIC_ROWS = { mix: 100, hard: 200, iso: 400 }

/** As many topics as `rows` rows of this world have. */
export function topicsOf(world: WorldName, rows: number): number {
  return Math.min(1000, Math.max(32, Math.round(rows / TOPIC_ROWS[world])))
}

export function makeWorld(world: WorldName, topics: number, seed: number): Topics {
  return new Topics({ ...SHAPES[world], dim: WORLD_DIM, topics }, seededRandom(seed))
}
