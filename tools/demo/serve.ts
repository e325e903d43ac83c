// `npm run demo -- serve`: the demo's rows behind HTTP, and three lines for a shell that work when they are pasted.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { closeOnSignals, serve } from '@drift/http'
import { Drift } from '@drift/server'
import type { DemoInput } from './input.js'

const BATCH_ROWS = 2_000

/** Runs until it is told to stop. */
export async function serveDemo({ rows, facts, dim, name, queries }: DemoInput): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'drift-demo-'))
  const db = await Drift.open(join(folder, 'db'))
  const commits = await db.collection('commits', { dim, metric: 'cosine' })
  for (let first = 0; first < facts.length; first += BATCH_ROWS) {
    const payloads = facts.slice(first, first + BATCH_ROWS)
    const ids = payloads.map((_, i) => first + i)
    await commits.upsert({ ids, vectors: rows.subarray(first * dim, (first + ids.length) * dim), payloads })
  }
  const query = join(folder, 'query.json')
  writeFileSync(query, JSON.stringify({ query: Array.from(queries.subarray(0, dim)), k: 3, payload: true }))
  const server = await serve({ db, port: 0, logger: false })
  closeOnSignals(server, () => rmSync(folder, { recursive: true, force: true }))
  const json = "-H 'content-type: application/json'"
  console.log(`${facts.length} rows of ${dim} dimensions (${name}) behind ${server.url}

curl -s ${server.url}/v1/collections
curl -s ${server.url}/v1/collections/commits/search ${json} -d @${query}
curl -s ${server.url}/v1/collections/commits/points/get ${json} -d '{"ids":[0,1],"vectors":false}'

Ctrl-C ends it.`)
}
