// Step: close, look at the folder, open again, and find every row as it was.
import { type Collection, Drift } from '@drift/server'
import { folderBytes } from '../bench/folder-size.js'
import type { DemoInput } from './input.js'
import { duration, mebibytes, type Screen, whole } from './screen.js'

/** @returns the database, open again, and its collection. */
export async function reopen(
  screen: Screen,
  db: Drift,
  folder: string,
  open: (db: Drift) => Promise<Collection>,
  input: DemoInput,
): Promise<Drift> {
  const total = input.facts.length
  const before = new Map<unknown, Float32Array>()
  const collection = await open(db)
  for await (const { id, vector } of collection.scan()) before.set(id, vector.slice())
  await db.close()
  const { data, log } = folderBytes(folder)

  const start = performance.now()
  const again = await Drift.open(folder)
  const reopened = await open(again)
  const openMs = performance.now() - start
  let same = 0
  for await (const { id, vector } of reopened.scan()) {
    if (before.get(id)?.every((value, i) => Object.is(value, vector[i]))) same++
  }
  screen.line(
    `${mebibytes(data)} on disk, ${whole(data / total)} bytes per row (its vector alone: ${whole(input.dim * 4)}), and a log of ${mebibytes(log)}`,
  )
  screen.line(`opened again in ${duration(openMs * 1000)}`)
  screen.claim(
    `all ${whole(total)} rows came back, bit for bit`,
    same === total && before.size === total && (await reopened.count()) === total,
  )
  return again
}
