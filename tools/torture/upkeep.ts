// What a lane asks of a database beside its writes: everything that moves rows, files and indexes while others write and search.
import { rm } from 'node:fs/promises'
import { type Collection, Drift, type IndexKind } from '@drift/server'
import type { LaneModel } from './lane-model.js'

/** Indexes that come and go: filters answer alike with and without. */
const INDEXES = ['lane', 'tag', 'n']
const KIND: IndexKind = 'number'

export interface UpkeepOptions {
  readonly db: Drift
  readonly collection: Collection
  readonly lane: LaneModel
  /** Where a backup is made, opened and removed again; none are made without. */
  readonly backupFolder?: string | undefined
}

/** One of its kinds. The lane writes nothing meanwhile. */
export async function upkeep(
  { db, collection, lane, backupFolder }: UpkeepOptions,
  random: () => number,
): Promise<void> {
  const drawn = random()
  if (drawn < 0.4) return collection.flush()
  if (drawn < 0.5) return collection.compact()
  if (drawn < 0.7) return void (await collection.maintain({ budget: 1_000 }))
  if (drawn < 0.9 || backupFolder === undefined) return toggleIndex(collection, random)
  await rm(backupFolder, { recursive: true, force: true })
  await db.backup(backupFolder)
  const copy = await Drift.open(backupFolder, { readOnly: true })
  try {
    await lane.compare(await copy.collection(collection.name))
  } finally {
    await copy.close()
    await rm(backupFolder, { recursive: true })
  }
}

async function toggleIndex(collection: Collection, random: () => number): Promise<void> {
  const path = INDEXES[Math.floor(random() * INDEXES.length)]!
  const { indexes } = await collection.stats()
  if (path in indexes) await collection.dropIndex(path)
  else await collection.createIndex(path, KIND)
}
