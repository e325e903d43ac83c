// Proves that rows of a tail do without entries where blocks are short: they are compared as before, and what is left is for buckets.
import { blockBytes, MAX_ROW_SLAB_BYTES } from '@drift/native'
import { expect, it } from 'vitest'
import { requireShape } from './arguments.js'
import { codeTails } from './coded-tail.js'
import { IndexState } from './index-state.js'
import { gaussian, seededRandom } from './random.js'

const DIM = 4
const ROWS = 1000
const MOST = Math.floor(MAX_ROW_SLAB_BYTES / blockBytes(64))

function filled(): IndexState {
  const random = seededRandom(3)
  const state = new IndexState(requireShape({ dim: DIM, metric: 'l2' }))
  const ids = Array.from({ length: ROWS }, (_, i) => i)
  const vectors = Float32Array.from({ length: ROWS * DIM }, () => gaussian(random))
  state.publish(state.append(ids, vectors, Uint32Array.from(ids)))
  return state
}

it('where most of all blocks are taken, none is for a tail', () => {
  const state = filled()
  // Never touched, so they take no memory.
  state.directory.extents.restore(MOST, () => {})
  state.directory.extents.freeBlocks(Uint32Array.from({ length: 100 }, (_, i) => MOST - 1 - i))
  codeTails(state, ROWS)
  expect(state.active.tail.end).toBe(0)
  expect(state.view.memtables[0]!.tail.reference).toBeUndefined()
})

it('where memory for blocks is short, rows stay as they were: they may go into the graph', () => {
  const state = filled()
  const { extents } = state.directory
  // The block after the last that there is room for is refused as the system would.
  const { slabs } = extents
  Object.defineProperty(slabs.blocks, 'grow', {
    configurable: true,
    value: () => {
      throw new RangeError('Array buffer allocation failed')
    },
  })
  codeTails(state, ROWS)
  expect(state.view.memtables[0]!.tail.reference).toBeUndefined()
  expect(state.active.unlinked).toBeGreaterThan(0)
  Reflect.deleteProperty(slabs.blocks, 'grow')
  codeTails(state, 400)
  expect(state.active.tail.end).toBe(400)
})

it('blocks of rows that went to buckets are free, and behind the last of these a tail begins anew', () => {
  const state = filled()
  codeTails(state, 400)
  const { tail } = state.active
  expect([tail.from, tail.end]).toEqual([0, 400])
  const { extents } = state.directory
  state.active.placed = 300
  codeTails(state, 0)
  // Nine blocks hold nothing else than rows before the 300th.
  const free = [...tail.blocks.subarray(0, 9)]
  expect(Array.from({ length: 9 }, () => extents.allocate())).toEqual(free)
  state.active.placed = 400
  codeTails(state, 1)
  expect([tail.from, tail.end]).toEqual([400, 401])
})
