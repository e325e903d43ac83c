// The power may fail before any operation on the disk. After each such cut, whatever subset of the unsynced writes and
// names survived, the database opens and holds the state after some prefix of the batches that includes every
// acknowledged one: nothing lost, nothing invented, no batch half there. The disk is simulated, the engine is not.
import { SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { type Collection, Drift } from '../src/index.js'
import { randomNumbers } from './fixture.js'

const FOLDER = '/db'
const OPTIONS = { walFileBytes: 64 * 1024, threads: 0 } as const
const DIM = 4

/** What the model knows of a collection: id to first component and payload. */
type Rows = Map<string, string>
type State = Map<string, Rows>

interface Step {
  readonly title: string
  readonly run: (db: Drift) => Promise<unknown>
  readonly model: (state: State) => void
}

interface Image {
  readonly disk: SimFs
  readonly cut: string
  /** Steps known to be done, and steps begun, when the power failed. */
  readonly acknowledged: number
  readonly begun: number
}

describe('a power cut before any operation on the disk', () => {
  it.each([1, 2, 3, 4])(
    'leaves every acknowledged batch and no half of another (workload %i)',
    async seed => {
      const steps = workload(seed)
      const states = modelStates(steps)
      let acknowledged = 0
      let begun = 0
      let images: Image[] = []
      let checked = 0
      const disk: SimFs = new SimFs({
        before(_operation, _path, count) {
          for (const cut of cutsAt(count, seed)) {
            images.push({
              disk: disk.powerCut(cut),
              cut: JSON.stringify({ at: count, ...cut }),
              acknowledged,
              begun,
            })
          }
        },
      })
      let db = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
      for (const step of steps) {
        begun++
        if (step.title === 'reopen') {
          await db.close()
          db = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
        } else await step.run(db)
        acknowledged++
        for (const image of images) await check(image, states, seed)
        checked += images.length
        images = []
      }
      await db.close()
      expect(await contentsOf(disk.powerCut({ data: 'none', entries: 'none' }))).toEqual(states.at(-1))
      expect(checked).toBeGreaterThan(1000)
    },
  )

  it('loses nothing when recovery itself is cut, again and again', async () => {
    const steps = workload(7)
    const states = modelStates(steps)
    const first = new SimFs()
    const db = await Drift.open(FOLDER, { ...OPTIONS, fs: first })
    for (const step of steps) if (step.title !== 'reopen') await step.run(db)
    let disk = first.powerCut({ data: 'none', entries: 'none' })
    for (let at = 1; at < 60; at++) {
      let image: SimFs | undefined
      const recovering: SimFs = disk.powerCut(
        { data: 'all', entries: 'all' },
        {
          before(_operation, _path, count) {
            if (count === at) image = recovering.powerCut({ seed: at })
          },
        },
      )
      const recovered = await Drift.open(FOLDER, { ...OPTIONS, fs: recovering })
      expect(await contents(recovered)).toEqual(states.at(-1))
      await recovered.close()
      if (!image) break
      expect(await contentsOf(image.powerCut({ data: 'all', entries: 'all' }))).toEqual(states.at(-1))
      disk = image
    }
  })
})

/**
 * A killed process keeps what it wrote; a power cut keeps some of what it did not sync. Each operation is cut with nothing
 * kept and, by turns that differ between workloads, with one of the other ways: about 6 500 states in half a minute.
 */
function cutsAt(
  count: number,
  seed: number,
): { data: 'none' | 'all' | 'random'; entries: 'none' | 'all' | 'random'; seed?: number }[] {
  const others = [
    { data: 'all', entries: 'all' },
    { data: count % 2 ? 'none' : 'all', entries: count % 2 ? 'all' : 'none' },
    { data: 'random', entries: 'random', seed: seed * 100_000 + count },
  ] as const
  return [{ data: 'none', entries: 'none' }, others[(count + seed) % others.length]!]
}

async function check(image: Image, states: State[], seed: number): Promise<void> {
  const where = `workload ${seed}, cut ${image.cut}, ${image.acknowledged} acknowledged, ${image.begun} begun`
  const found = await contentsOf(image.disk).catch(error => {
    throw new Error(`does not open: ${where}`, { cause: error })
  })
  const possible = states.slice(image.acknowledged, image.begun + 1)
  expect(possible, where).toContainEqual(found)
}

async function contentsOf(disk: SimFs): Promise<State> {
  const db = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
  try {
    return await contents(db)
  } finally {
    await db.close()
  }
}

async function contents(db: Drift): Promise<State> {
  const state: State = new Map()
  for (const name of db.collections()) {
    const collection = await db.collection(name)
    const rows: Rows = new Map()
    for await (const { id, vector, payload } of collection.scan()) {
      expect(rows.has(id as string), `${id} is there twice`).toBe(false)
      rows.set(id as string, `${vector.join()} ${JSON.stringify(payload)}`)
    }
    expect(await collection.count()).toBe(rows.size)
    await expectSearchable(collection, rows)
    state.set(name, rows)
  }
  return state
}

/** Every row is found by its own vector, and nothing else is. */
async function expectSearchable(collection: Collection, rows: Rows): Promise<void> {
  const hits = await collection.search(new Float32Array(DIM), { k: rows.size + 10, probes: 1_000_000 })
  expect(hits.map(hit => hit.id).sort()).toEqual([...rows.keys()].sort())
}

function workload(seed: number): Step[] {
  const random = randomNumbers(seed)
  const steps: Step[] = [create('a'), create('b')]
  const kinds = [upsert, upsert, upsert, update, remove, removeMatching, flush, reopen]
  for (let i = 0; i < 34; i++) {
    const name = random() < 0.7 ? 'a' : 'b'
    steps.push(kinds[Math.floor(random() * kinds.length)]!(name, random, i))
  }
  steps.push(drop('b'), create('b'), upsert('b', random, 99), flush('a'), upsert('a', random, 100))
  return steps
}

function create(name: string): Step {
  return {
    title: `create ${name}`,
    run: db => db.collection(name, { dim: DIM, metric: 'l2', memtableRows: 8 }),
    model: state => state.set(name, state.get(name) ?? new Map()),
  }
}

function upsert(name: string, random: () => number, version: number): Step {
  const ids = Array.from({ length: 1 + Math.floor(random() * 6) }, () => `id ${Math.floor(random() * 20)}`)
  const rows = ids.map((id, i) => {
    const vector = Array.from({ length: DIM }, () => Math.fround(random()))
    return random() < 0.5 ? { id, vector } : { id, vector, payload: { version, i } }
  })
  return {
    title: `upsert ${name}`,
    run: async db => (await db.collection(name)).upsert(rows),
    model(state) {
      for (const { id, vector, payload } of rows as { id: string; vector: number[]; payload?: object }[]) {
        state.get(name)!.set(id, `${new Float32Array(vector).join()} ${JSON.stringify(payload)}`)
      }
    },
  }
}

/** By filter: every row whose payload has this `i`, which is none of those without a payload. */
function removeMatching(name: string, random: () => number): Step {
  const i = Math.floor(random() * 6)
  return {
    title: `delete from ${name} where i is ${i}`,
    run: async db => (await db.collection(name)).delete({ filter: { i } }),
    model(state) {
      for (const [id, row] of state.get(name)!) if (payloadOf(row)['i'] === i) state.get(name)!.delete(id)
    },
  }
}

/** By ids or by filter; the payload gets a field and loses one. */
function update(name: string, random: () => number, version: number): Step {
  const ids = Array.from({ length: 1 + Math.floor(random() * 4) }, () => `id ${Math.floor(random() * 20)}`)
  const i = Math.floor(random() * 3)
  const byFilter = random() < 0.5
  return {
    title: `update ${name}`,
    run: async db => {
      const target = byFilter ? { filter: { i: { $lte: i } } } : ids
      return (await db.collection(name)).updatePayload(target, { version: null, updated: version })
    },
    model(state) {
      for (const [id, row] of state.get(name)!) {
        const { version: _, ...payload } = payloadOf(row)
        const chosen = byFilter ? typeof payload['i'] === 'number' && payload['i'] <= i : ids.includes(id)
        if (!chosen) continue
        const { updated: __, ...others } = payload
        state.get(name)!.set(id, `${row.split(' ')[0]} ${JSON.stringify({ ...others, updated: version })}`)
      }
    },
  }
}

function payloadOf(row: string): Record<string, unknown> {
  const json = row.slice(row.indexOf(' ') + 1)
  return json === 'undefined' ? {} : (JSON.parse(json) as Record<string, unknown>)
}

function remove(name: string, random: () => number): Step {
  const ids = Array.from({ length: 1 + Math.floor(random() * 4) }, () => `id ${Math.floor(random() * 20)}`)
  return {
    title: `delete from ${name}`,
    run: async db => (await db.collection(name)).delete(ids),
    model(state) {
      for (const id of ids) state.get(name)!.delete(id)
    },
  }
}

function flush(name: string): Step {
  return {
    title: `flush ${name}`,
    run: async db => (await db.collection(name)).flush(),
    model: () => undefined,
  }
}

function reopen(): Step {
  return { title: 'reopen', run: async () => undefined, model: () => undefined }
}

function drop(name: string): Step {
  return { title: `drop ${name}`, run: db => db.drop(name), model: state => state.delete(name) }
}

/** The state before the first step, and after each. */
function modelStates(steps: readonly Step[]): State[] {
  const states: State[] = [new Map()]
  for (const step of steps) {
    const next: State = new Map([...states.at(-1)!].map(([name, rows]) => [name, new Map(rows)]))
    step.model(next)
    states.push(next)
  }
  return states
}
