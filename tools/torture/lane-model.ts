// What a lane knows of its rows while it writes: nobody else writes them, so between two of its operations every exact answer about them
// is known, whatever other lanes, flushes and healing do meanwhile.
import { isDeepStrictEqual } from 'node:util'
import type { Collection, Filter, Id } from '@drift/server'
import { ToolError } from '../data/tool-error.js'
import {
  applyOperation,
  filterOf,
  operation,
  queryOf,
  TAGS,
  type Workload,
  type WrittenPayload,
} from './workload.js'

const K = 10

/** Distances are of float32, sums in another order. */
const TOLERANCE = 1e-4

export class LaneModel {
  readonly #workload: Workload
  readonly #lane: number
  readonly #vectors = new Map<Id, Float32Array>()
  #state: ReadonlyMap<Id, WrittenPayload> = new Map()

  private constructor(workload: Workload, lane: number) {
    this.#workload = workload
    this.#lane = lane
  }

  /** Of a collection in which the lane's rows are known to be right. */
  static async read(workload: Workload, lane: number, collection: Collection): Promise<LaneModel> {
    const model = new LaneModel(workload, lane)
    const state = new Map<Id, WrittenPayload>()
    for await (const { id, vector, payload } of collection.scan({ filter: { lane } })) {
      state.set(id, payload as unknown as WrittenPayload)
      model.#vectors.set(id, vector)
    }
    model.#state = state
    return model
  }

  /** After an operation of this lane. */
  apply(n: number): void {
    const { dim } = this.#workload
    const done = operation(this.#workload, n)
    this.#state = applyOperation(this.#workload, this.#state, n)
    if (done.kind !== 'upsert') return
    for (const [i, id] of done.ids.entries())
      this.#vectors.set(id, done.vectors.subarray(i * dim, (i + 1) * dim))
  }

  /** One exact question about the lane's rows. @throws ToolError LANE when the answer is not the one they give. */
  async ask(collection: Collection, random: () => number): Promise<void> {
    const lane = this.#lane
    const tag = Math.floor(random() * TAGS)
    const [filter, matches] =
      random() < 0.5
        ? [{ lane } as Filter, [...this.#state.keys()]]
        : [filterOf({ lane, tag }), [...this.#state].filter(([, row]) => row.tag === tag).map(([id]) => id)]
    const drawn = random()
    if (drawn < 0.5) await this.#search(collection, filter, matches, queryOf(this.#workload, lane, random))
    else if (drawn < 0.7) await this.#scan(collection, filter, matches)
    else if (drawn < 0.85)
      this.#expect(await collection.count({ filter }), matches.length, 'rows counted', filter)
    else await this.#get(collection, matches[Math.floor(random() * matches.length)])
  }

  /** Every row, one by one. */
  async compare(collection: Collection): Promise<void> {
    await this.#scan(collection, { lane: this.#lane }, [...this.#state.keys()])
  }

  async #search(
    collection: Collection,
    filter: Filter,
    matches: readonly Id[],
    query: Float32Array,
  ): Promise<void> {
    const exact = matches.map(id => distanceOf(query, this.#vectors.get(id)!)).sort((a, b) => a - b)
    const hits = await collection.search(query, { k: K, recall: 1, filter, payload: true })
    this.#expect(hits.length, Math.min(K, matches.length), 'hits', filter)
    for (const [i, { id, distance, payload }] of hits.entries()) {
      this.#expect(payload, this.#state.get(id), `payload of hit ${i}`, filter)
      for (const right of [exact[i]!, distanceOf(query, this.#vectors.get(id)!)]) {
        const isNear = Math.abs(distance - right) <= TOLERANCE * (1 + right)
        this.#expect(isNear, true, `distance ${distance} of hit ${i}, where ${right} is right`, filter)
      }
    }
    this.#expect(new Set(hits.map(({ id }) => id)).size, hits.length, 'distinct hits', filter)
  }

  async #scan(collection: Collection, filter: Filter, matches: readonly Id[]): Promise<void> {
    let rows = 0
    for await (const { id, vector, payload } of collection.scan({ filter })) {
      this.#expect(payload, this.#state.get(id), `payload of ${id}`, filter)
      this.#expect(vector, this.#vectors.get(id), `vector of ${id}`, filter)
      rows++
    }
    this.#expect(rows, matches.length, 'rows scanned', filter)
  }

  async #get(collection: Collection, id: Id | undefined): Promise<void> {
    if (id === undefined) return
    const row = await collection.get(id)
    this.#expect(row?.payload, this.#state.get(id), 'payload got', { id: `${id}` })
    this.#expect(row?.vector, this.#vectors.get(id), 'vector got', { id: `${id}` })
  }

  #expect(found: unknown, right: unknown, what: string, of: object): void {
    if (isDeepStrictEqual(found, right)) return
    const text = `lane ${this.#lane}: ${what} of ${JSON.stringify(of)}: ${show(found)}, where ${show(right)} is right`
    throw new ToolError('LANE', text)
  }
}

function distanceOf(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0)
}

function show(value: unknown): string {
  return value instanceof Float32Array
    ? `[${[...value.slice(0, 4)].join(', ')}, ...]`
    : `${JSON.stringify(value)}`
}
