// Proves: what a callback throws is the process's concern. The call does what it would have done, and says so.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Drift } from '../src/index.js'
import { clusteredVectors, temporaryFolder } from './fixture.js'

const DIM = 4
const ROWS = 3000
const OPTIONS = { maintenance: 'manual', minFreeBytes: 0 } as const

/** @returns what `run` does, and the messages of what nobody caught meanwhile. */
async function uncaught<T>(run: () => Promise<T>): Promise<{ done: T; messages: string[] }> {
  const messages: string[] = []
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', ({ message }) => messages.push(message))
  try {
    const done = await run()
    await setImmediate()
    return { done, messages }
  } finally {
    process.removeAllListeners('uncaughtException')
    for (const listener of others) process.on('uncaughtException', listener)
  }
}

const thrown = (what: string) => (): never => {
  throw new Error(what)
}
const onProgress = thrown('of onProgress')

function rows(): { ids: number[]; vectors: Float32Array; payloads: { n: number }[] } {
  const ids = Array.from({ length: ROWS }, (_, i) => i)
  return { ids, vectors: clusteredVectors(ROWS, DIM, 5), payloads: ids.map(n => ({ n })) }
}

describe('an onProgress that throws', () => {
  it('is an uncaught exception, and every call does what it is called for', async () => {
    const root = temporaryFolder()
    const path = join(root, 'db')
    const backup = join(root, 'backup')
    const { done, messages } = await uncaught(async () => {
      const told: number[] = []
      const db = await Drift.open(path, OPTIONS)
      const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 1024 })
      const copy = await db.collection('copy', { dim: DIM, metric: 'l2' })
      told.push((await docs.upsert(rows(), { onProgress })).upserted)
      await docs.createIndex('n', 'number', { onProgress })
      await docs.flush({ onProgress })
      await docs.delete(rows().ids.filter(id => id % 3 > 0))
      await docs.maintain({ onProgress })
      await docs.compact({ onProgress })
      told.push((await copy.fromArrow(docs.toArrow(), { onProgress })).rows)
      told.push((await db.check({ onProgress })).findings.length)
      await db.backup(backup, { onProgress })
      await db.close()
      told.push((await Drift.repair(backup, { onProgress })).losses.length)
      told.push((await Drift.check(backup, { onProgress })).findings.length)
      for (const folder of [path, backup]) {
        const again = await Drift.open(folder, { ...OPTIONS, onProgress })
        const found = await again.collection('docs')
        told.push(await found.count({ filter: { n: { $gte: 0 } } }))
        expect((await found.stats()).indexes).toEqual({ n: 'number' })
        await again.close()
      }
      return told
    })
    expect(done).toEqual([ROWS, ROWS / 3, 0, 0, 0, ROWS / 3, ROWS / 3])
    expect(messages.length).toBeGreaterThan(11)
    expect(new Set(messages)).toEqual(new Set(['of onProgress']))
  })
})

describe('a listener that throws', () => {
  it('is an uncaught exception, and healing goes on', async () => {
    const db = await Drift.open(':memory:', OPTIONS)
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 1024 })
    await docs.upsert(rows())
    await docs.flush()
    await docs.delete(rows().ids.slice(0, 2000))
    let told = 0
    const subscriber = thrown('of the subscriber')
    db.on('maintenance', thrown('of the listener'))
    db.on('maintenance', () => told++)
    subscribe('drift:maintenance', subscriber)
    try {
      const { done, messages } = await uncaught(() => docs.maintain())
      expect(done.operations).toBeGreaterThan(1)
      expect(told).toBe(done.operations)
      for (const what of ['listener', 'subscriber'])
        expect(messages.filter(message => message === `of the ${what}`)).toHaveLength(told)
    } finally {
      unsubscribe('drift:maintenance', subscriber)
    }
    await db.close()
  })
})
