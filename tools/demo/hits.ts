// Step: one query and its three nearest rows, with the facts that were stored beside the vectors.
import { isDeepStrictEqual } from 'node:util'
import type { Collection } from '@drift/server'
import type { DemoInput, Facts } from './input.js'
import type { Screen } from './screen.js'

/** A query whose hits lie years apart. */
const QUERY = 42
const HITS = 3

/** A score is computed in float32 over up to 4 096 terms. */
const SCORE_TOLERANCE = 1e-4

/** Where a commit can be looked up. */
const OWNERS: Readonly<Record<string, string>> = { git: 'git', ansible: 'ansible', curl: 'curl' }

export async function showHits(screen: Screen, collection: Collection, input: DemoInput): Promise<void> {
  const { dim, rows, queries, queryFacts, facts } = input
  const number = QUERY % queryFacts.length
  const query = queries.slice(number * dim, (number + 1) * dim)
  const hits = await collection.search(query, { k: HITS, payload: true })
  screen.line(`query          ${describe(queryFacts[number]!)}`)
  let right = hits.length === Math.min(HITS, facts.length)
  for (const { id, score, payload } of hits) {
    const row = Number(id)
    let cosine = 0
    for (let d = 0; d < dim; d++) cosine += query[d]! * rows[row * dim + d]!
    right &&= isDeepStrictEqual(payload, facts[row]) && Math.abs(score - cosine) < SCORE_TOLERANCE
    screen.line(`cosine ${score.toFixed(3)}   ${describe((payload ?? {}) as Facts)}`)
  }
  screen.claim('scores and stored facts are those of the rows', right)
}

function describe(facts: Facts): string {
  const { repository, commit, date } = facts
  const owner = OWNERS[String(repository)]
  if (!owner)
    return Object.entries(facts)
      .map(pair => pair.join(' '))
      .join(', ')
  return `${date}  https://github.com/${owner}/${repository}/commit/${commit}`
}
