// Filters answer as a model does that knows only payloads in a Map: through indexes and without, in search, count, scan, update and delete,
// while rows are written, replaced, deleted and the database is reopened. The table of docs/filters.md is true.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseFilter } from '../src/filter/filter.js'
import { predicateOf } from '../src/filter/predicate.js'
import { type Collection, Drift, type Filter, type Payload } from '../src/index.js'
import { nearestByHand, randomNumbers, temporaryFolder } from './fixture.js'

const DIM = 4

describe('the language', () => {
  it('means what the table of docs/filters.md says', () => {
    const text = readFileSync(new URL('../../../docs/filters.md', import.meta.url), 'utf8')
    const rows = [...text.matchAll(/^\| `(\{.*?\})` +\| `(\{.*?\})` +\| (yes|no) /gm)]
    expect(rows.length).toBeGreaterThan(40)
    for (const [line, filter, payload, answer] of rows) {
      const node = parseFilter(JSON.parse(filter!.replaceAll('\\|', '|')))
      const passes = node ? predicateOf(node)(JSON.parse(payload!) as Payload) : true
      expect(passes, line).toBe(answer === 'yes')
    }
  })

  it('is met the same way by the table with indexes of either kind', async () => {
    const text = readFileSync(new URL('../../../docs/filters.md', import.meta.url), 'utf8')
    const rows = [...text.matchAll(/^\| `(\{.*?\})` +\| `(\{.*?\})` +\| (yes|no) /gm)]
    for (const kind of ['keyword', 'number'] as const) {
      const db = await Drift.open(':memory:')
      const indexes = { a: kind, 'a.b': kind }
      const docs = await db.collection('docs', { dim: 1, metric: 'l2', indexes })
      await docs.upsert(
        rows.map(([, , payload], i) => ({ id: i, vector: [i], payload: JSON.parse(payload!) as Payload })),
      )
      for (const [i, [line, filter, , answer]] of rows.entries()) {
        const matching: unknown[] = []
        for await (const { id } of docs.scan({ filter: JSON.parse(filter!) as Filter })) matching.push(id)
        expect(matching.includes(i), `${kind}: ${line}`).toBe(answer === 'yes')
      }
      await db.close()
    }
  })
})

const DECLARED = [
  {},
  { lang: 'keyword', time: 'number' },
  { lang: 'keyword', time: 'number', tags: 'keyword', 'deep.n': 'number', day: 'number' },
] as const

describe('a filter that is asked for again', () => {
  it('is answered by the rows as they are then, whatever was written in between', async () => {
    await using db = await Drift.open(':memory:')
    const docs = await db.collection('docs', { dim: 1, metric: 'l2', indexes: { n: 'number' } })
    const ids = async (filter: Filter) => {
      const hits = await docs.search([0], { k: 10, recall: 1, filter })
      expect(await docs.count({ filter })).toBe(hits.length)
      return hits.map(({ id }) => id)
    }
    for (const key of ['n', 'm']) {
      await docs.upsert([1, 2, 3, 4].map(i => ({ id: i, vector: [i], payload: { [key]: i % 2 } })))
      const odd = { [key]: 1 }
      expect(await ids(odd)).toEqual([1, 3])
      await docs.upsert([{ id: 5, vector: [5], payload: { [key]: 1 } }])
      expect(await ids(odd)).toEqual([1, 3, 5])
      await docs.delete([3])
      expect(await ids(odd)).toEqual([1, 5])
      await docs.updatePayload([1], { [key]: 0 })
      expect(await ids(odd)).toEqual([5])
      await docs.upsert([{ id: 2, vector: [9], payload: { [key]: 1 } }])
      expect(await ids(odd)).toEqual([5, 2])
      // Filters that look alike.
      const alike = [{ [key]: '1' }, { [key]: true }, { [key]: { $gte: 1 } }, { [key]: { $lte: 1 } }, odd]
      expect(await Promise.all(alike.map(ids))).toEqual([[], [], [5, 2], [1, 4, 5, 2], [5, 2]])
    }
  })
})

describe.each([1, 2])('a collection under random writes (seed %i)', seed => {
  it.each(DECLARED)('answers every filter as the model does, with the indexes %o', async declared => {
    const random = randomNumbers(seed * 100 + Object.keys(declared).length)
    const folder = temporaryFolder()
    const options = { dim: DIM, metric: 'l2', memtableRows: 64 } as const
    let db = await Drift.open(folder, { sync: 'os', threads: 0 })
    let docs = await db.collection('docs', { ...options, indexes: declared })
    const model = new Map<string, { vector: number[]; payload: Payload | undefined }>()
    for (let step = 0; step < 60; step++) {
      const dice = random()
      if (dice < 0.45) {
        const rows = Array.from({ length: 1 + Math.floor(random() * 20) }, () => {
          const row = { id: `r${Math.floor(random() * 150)}`, vector: randomVector(random) }
          return random() < 0.1 ? row : { ...row, payload: randomPayload(random) }
        })
        await docs.upsert(rows)
        for (const { id, vector, payload } of rows as { id: string; vector: number[]; payload?: Payload }[]) {
          model.set(id, { vector, payload })
        }
      } else if (dice < 0.55) {
        const ids = Array.from({ length: 5 }, () => `r${Math.floor(random() * 150)}`)
        await docs.delete(ids)
        for (const id of ids) model.delete(id)
      } else if (dice < 0.65) {
        const patch = random() < 0.3 ? { lang: null } : { time: Math.floor(random() * 50), deep: { n: 3 } }
        const ids = Array.from({ length: 8 }, () => `r${Math.floor(random() * 150)}`)
        const { updated } = await docs.updatePayload(ids, patch)
        const known = [...new Set(ids)].filter(id => model.has(id))
        for (const id of known) patch_(model.get(id)!, patch)
        expect(updated).toBe(known.length)
      } else if (dice < 0.72) {
        const filter = randomFilter(random, 2)
        const { updated } = await docs.updatePayload({ filter }, { tags: ['new', step] })
        const known = [...model.values()].filter(row => matches(filter, row.payload))
        for (const row of known) patch_(row, { tags: ['new', step] })
        expect(updated, JSON.stringify(filter)).toBe(known.length)
      } else if (dice < 0.76) {
        const filter: Filter = { $and: [randomFilter(random, 2), { time: { $lt: 10 } }] }
        const { deleted } = await docs.delete({ filter })
        const known = [...model].filter(([, row]) => matches(filter, row.payload))
        for (const [id] of known) model.delete(id)
        expect(deleted, JSON.stringify(filter)).toBe(known.length)
      } else if (dice < 0.84) {
        await docs.flush()
      } else if (dice < 0.9) {
        await db.close()
        db = await Drift.open(folder, { sync: 'os', threads: 0 })
        docs = await db.collection('docs', options)
        expect((await docs.stats()).indexes).toEqual(declared)
      }
      await compare(docs, model, randomFilter(random, 3), random)
    }
    await db.close()
  })
})

async function compare(
  docs: Collection,
  model: Map<string, { vector: number[]; payload: Payload | undefined }>,
  filter: Filter,
  random: () => number,
): Promise<void> {
  const where = JSON.stringify(filter)
  const matching = [...model].filter(([, row]) => matches(filter, row.payload))
  const ids = matching.map(([id]) => id).sort()
  expect(await docs.count({ filter }), where).toBe(ids.length)

  const scanned: string[] = []
  for await (const row of docs.scan({ filter })) {
    scanned.push(row.id as string)
    expect(row.payload, where).toEqual(model.get(row.id as string)!.payload)
  }
  expect(scanned.sort(), where).toEqual(ids)

  const query = randomVector(random)
  const vectors = Float32Array.from(matching.flatMap(([, row]) => row.vector))
  const k = 1 + Math.floor(random() * 12)
  const hits = await docs.search(query, { k, filter })
  const expected = nearestByHand(query, vectors, DIM, k).map(i => matching[i]![0])
  expect(
    hits.map(hit => hit.id),
    where,
  ).toEqual(expected)
  const batch = await docs.searchBatch(Float32Array.from([...query, ...query]), { k, filter })
  expect(batch.ids, where).toEqual([expected, expected])
}

function matches(filter: Filter, payload: Payload | undefined): boolean {
  const node = parseFilter(filter)
  return node ? predicateOf(node)(payload) : true
}

function patch_(row: { payload: Payload | undefined }, patch: Payload): void {
  const merge = (target: unknown, change: unknown): unknown => {
    if (typeof change !== 'object' || change === null || Array.isArray(change)) return change
    const isObject = typeof target === 'object' && target !== null && !Array.isArray(target)
    const out: Record<string, unknown> = isObject ? { ...target } : {}
    for (const [key, value] of Object.entries(change)) {
      if (value === null) delete out[key]
      else out[key] = merge(out[key], value)
    }
    return out
  }
  row.payload = merge(row.payload, patch) as Payload
}

function randomVector(random: () => number): number[] {
  return Array.from({ length: DIM }, () => Math.fround(random()))
}

const LANGUAGES = ['en', 'de', 'fr', '5', null, 5, true]
const DAYS = ['2024-01-01', '2024-03-01T12:00:00Z', '2025-06-30T00:00:00+02:00', 'soon', 20240101]

function randomPayload(random: () => number): Payload {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const payload: Record<string, unknown> = {}
  if (random() < 0.8) payload['lang'] = random() < 0.1 ? ['en', 'de'] : pick(LANGUAGES)
  if (random() < 0.8) payload['time'] = random() < 0.1 ? [1, 40] : Math.floor(random() * 50)
  if (random() < 0.5)
    payload['tags'] = Array.from({ length: Math.floor(random() * 4) }, () => pick(['x', 'y', 7]))
  if (random() < 0.5)
    payload['deep'] = random() < 0.3 ? [{ n: 1 }, { n: 9 }, {}] : { n: Math.floor(random() * 5) }
  if (random() < 0.5) payload['day'] = pick(DAYS)
  return payload
}

function randomFilter(random: () => number, depth: number): Filter {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const dice = random()
  if (depth > 0 && dice < 0.15)
    return { $and: [randomFilter(random, depth - 1), randomFilter(random, depth - 1)] }
  if (depth > 0 && dice < 0.3)
    return { $or: [randomFilter(random, depth - 1), randomFilter(random, depth - 1)] }
  if (depth > 0 && dice < 0.4) return { $not: randomFilter(random, depth - 1) }
  const n = Math.floor(random() * 50)
  return pick<() => Filter>([
    () => ({ lang: pick(LANGUAGES) }),
    () => ({ lang: { $ne: pick(LANGUAGES) } }),
    () => ({ lang: { $in: [pick(LANGUAGES), pick(LANGUAGES)] }, time: { $gt: n } }),
    () => ({ lang: { $nin: [pick(LANGUAGES), null] } }),
    () => ({ time: { $gte: n, $lt: n + 10 } }),
    () => ({ time: { $in: [n, n + 1, n + 2] } }),
    () => ({ time: { $not: { $lte: n } } }),
    () => ({ time: { $exists: random() < 0.5 } }),
    () => ({ tags: pick(['x', 'y', 7, 'new']) }),
    () => ({ tags: { $exists: false } }),
    () => ({ 'deep.n': { $gt: 1, $lt: 9 } }),
    () => ({ 'deep.n': null }),
    () => ({ day: { $gte: '2024-02-01', $lt: '2025-06-29T22:00:00Z' } }),
    () => ({ day: { $gte: '2025-06-29T22:00:00Z' } }),
    () => ({ day: { $gt: 'm' } }),
    () => ({ day: pick(DAYS) as string }),
    () => ({}),
  ])()
}
