/** Proves what a reader in another thread relies on: its views reach every row of every graph, and its snapshot never changes. */
import { hnswRows } from '@drift/native'
import { expect, it } from 'vitest'
import { requireShape } from './arguments.js'
import { NONE } from './bucket/extent.js'
import { IndexState } from './index-state.js'
import { gaussian, seededRandom } from './random.js'

const DIM = 4
const random = seededRandom(21)
const vectors = Float32Array.from({ length: 4000 * DIM }, () => gaussian(random))

function append(state: IndexState, first: number, end: number): void {
  const ids = Array.from({ length: end - first }, (_, i) => first + i)
  state.publish(state.append(ids, vectors, Uint32Array.from(ids)))
}

it('rows beyond the views of an open pin enter no graph until it is released', () => {
  const state = new IndexState(requireShape({ dim: DIM, metric: 'l2', efConstruction: 20 }))
  append(state, 0, 1000)
  const { capacity } = state.store
  const old = state.pin()
  append(state, 1000, 3000)
  expect(state.store.capacity).toBeGreaterThan(capacity)
  const young = state.pin()
  append(state, 3000, 4000)
  while (state.linkNext());
  expect(state.active.linked).toBe(capacity)
  const nodes = hnswRows(state.active.graph!).subarray(0, state.active.linked)
  expect(Math.max(...nodes)).toBeLessThan(old.snapshot.capacity)
  old.release()
  while (state.linkNext());
  expect(state.active.linked).toBeLessThanOrEqual(young.snapshot.capacity)
  young.release()
  while (state.linkNext());
  expect(state.active.linked).toBe(4000)
})

it('a snapshot keeps its live rows and heads, and quiet snapshots share their copies', () => {
  const state = new IndexState(requireShape({ dim: DIM, metric: 'l2' }))
  append(state, 0, 100)
  state.addBuckets(vectors.slice(0, DIM))
  const first = state.pin()
  const again = state.pin()
  expect(again.snapshot.live).toBe(first.snapshot.live)
  expect(again.snapshot.heads).toBe(first.snapshot.heads)
  const { live, heads } = structuredClone({
    live: [...first.snapshot.live],
    heads: [...first.snapshot.heads],
  })
  for (let row = 0; row < 50; row++) state.place(row, 0, NONE)
  state.delete(Array.from({ length: 60 }, (_, id) => id))
  expect([...first.snapshot.live]).toEqual(live)
  expect([...first.snapshot.heads]).toEqual(heads)
  expect(first.snapshot.liveRows).toBe(100)
  const later = state.pin()
  expect([...later.snapshot.live]).not.toEqual(live)
  for (const { release } of [first, again, later]) release()
})
