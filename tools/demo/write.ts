// Step: every row goes to disk. An upsert resolves when its group commit is on stable storage.
import type { Collection } from '@drift/server'
import type { DemoInput } from './input.js'
import { duration, type Screen, whole } from './screen.js'

const BATCH_ROWS = 500

export async function writeRows(screen: Screen, collection: Collection, input: DemoInput): Promise<void> {
  const total = input.facts.length
  const bar = screen.progress('writing', total)
  const start = performance.now()
  let durable = true
  for (let first = 0; first < total; first += BATCH_ROWS) {
    const end = Math.min(total, first + BATCH_ROWS)
    const written = await collection.upsert({
      ids: Array.from({ length: end - first }, (_, i) => first + i),
      vectors: input.rows.slice(first * input.dim, end * input.dim),
      payloads: input.facts.slice(first, end),
    })
    durable &&= written.durable
    bar.update(end)
  }
  const writtenMs = performance.now() - start
  await collection.flush()
  await collection.maintain()
  const flushMs = performance.now() - start - writtenMs
  bar.stop()
  screen.line(
    `${whole(total)} rows in batches of ${BATCH_ROWS}, each on disk before the next: ${whole((total / writtenMs) * 1000)} rows/s`,
  )
  screen.line(`flushed to a segment and into refined buckets in ${duration(flushMs * 1000)}`)
  screen.claim(
    `${whole(total)} rows are there, every batch was durable`,
    durable && (await collection.count()) === total,
  )
}
