/**
 * Proves that healing costs no row when the power fails before any operation on the disk while it runs: after every cut the database opens
 * and holds what was acknowledged, each row once, and healing goes on from there. The disk is simulated, the engine is not.
 */
import { SimFs } from '@drift/fs'
import { expect, it } from 'vitest'
import { type Collection, Drift, type MaintenanceEvent } from '../src/index.js'
import { randomNumbers } from './fixture.js'

const FOLDER = '/db'
const DIM = 4
const OPTIONS = { walFileBytes: 64 * 1024, threads: 0, maintenance: 'manual' } as const

type Model = Map<number, string>

interface HealStep {
  readonly run: (docs: Collection) => Promise<unknown>
  readonly model: (rows: Model) => void
}

/** Rows around a place that moves, of which most die later: buckets grow, empty, and drift, and each kind of healing has something to do. */
function healWorkload(seed: number): HealStep[] {
  const random = randomNumbers(seed)
  const steps: HealStep[] = []
  const add = (first: number, count: number, place: number, spread: number) => {
    const rows = Array.from({ length: count }, (_, i) => ({
      id: first + i,
      vector: Array.from({ length: DIM }, (_, d) =>
        Math.fround((d === 0 ? place : 0) + spread * (random() - 0.5)),
      ),
    }))
    steps.push({
      run: docs => docs.upsert(rows),
      model: model => {
        for (const { id, vector } of rows) model.set(id, vector.join())
      },
    })
    steps.push({ run: docs => docs.flush(), model: () => {} })
  }
  const remove = (ids: number[]) =>
    steps.push({
      run: docs => docs.delete(ids),
      model: model => {
        for (const id of ids) model.delete(id)
      },
    })
  const heal = (options: object = {}) => steps.push({ run: docs => docs.maintain(options), model: () => {} })
  const range = (from: number, to: number, keep: number) =>
    Array.from({ length: to - from }, (_, i) => from + i).filter(id => keep === 0 || id % keep > 0)
  add(0, 300, 0, 2)
  add(300, 300, 0.2, 0.3)
  heal()
  remove(range(0, 250, 8))
  heal({ budget: 20 })
  heal()
  add(600, 200, 3, 1)
  remove(range(300, 420, 2))
  heal()
  add(0, 40, -1, 1)
  heal({ policy: 'paper' })
  return steps
}

it('every cut while buckets are healed leaves each acknowledged row once', async () => {
  const seed = 7
  const steps = healWorkload(seed)
  const kinds = new Set<string>()
  const images: { disk: SimFs; before: string; after: string; at: string }[] = []
  const model: Model = new Map()
  let before = ''
  let after = ''
  let title = ''
  const disk: SimFs = new SimFs({
    before(_operation, _path, count) {
      if (title === '') return
      const way = count % 3
      const cut =
        way === 0
          ? ({ data: 'none', entries: 'none' } as const)
          : way === 1
            ? ({ data: 'all', entries: 'all' } as const)
            : ({ data: 'random', entries: 'random', seed: seed * 10_000 + count } as const)
      images.push({ disk: disk.powerCut(cut), before, after, at: `${title}, operation ${count}` })
    },
  })
  const db = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
  db.on('maintenance', ({ kind }: MaintenanceEvent) => kinds.add(kind))
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 512 })
  let checked = 0
  for (const [i, step] of steps.entries()) {
    before = textOf(model)
    step.model(model)
    after = textOf(model)
    title = `step ${i}`
    await step.run(docs)
    for (const image of images.splice(0)) {
      await check(image)
      checked++
    }
  }
  expect(await contentsOf(docs)).toBe(textOf(model))
  await db.close()
  expect([...kinds].sort()).toEqual(['compact', 'merge', 'recentre', 'refine', 'settle', 'split'])
  expect(checked).toBeGreaterThan(100)
})

async function check(image: { disk: SimFs; before: string; after: string; at: string }): Promise<void> {
  const db = await Drift.open(FOLDER, { ...OPTIONS, fs: image.disk })
  try {
    const docs = await db.collection('docs')
    const found = await contentsOf(docs)
    expect([image.before, image.after], image.at).toContain(found)
    await docs.maintain()
    expect(await contentsOf(docs), `${image.at}, healed again`).toBe(found)
  } finally {
    await db.close()
  }
}

/** Rows as a scan gives them, each of which a search finds too. */
async function contentsOf(docs: Collection): Promise<string> {
  const rows: Model = new Map()
  for await (const { id, vector } of docs.scan()) {
    expect(rows.has(id as number), `${id} is there twice`).toBe(false)
    rows.set(id as number, vector.join())
  }
  const hits = await docs.search(new Float32Array(DIM), { k: rows.size + 10, probes: 1_000_000 })
  expect(hits.map(({ id }) => id as number).sort(byNumber)).toEqual([...rows.keys()].sort(byNumber))
  return textOf(rows)
}

function textOf(rows: Model): string {
  return JSON.stringify([...rows].sort(([a], [b]) => a - b))
}

function byNumber(a: number, b: number): number {
  return a - b
}
