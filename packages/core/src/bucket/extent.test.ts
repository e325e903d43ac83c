// Proves that blocks which find no room for all of their chain may be allocated again.
import { blockBytes, MAX_ROW_SLAB_BYTES } from '@drift/native'
import { expect, it } from 'vitest'
import { Extents } from './extent.js'

const PADDED = 64
const MOST = Math.floor(MAX_ROW_SLAB_BYTES / blockBytes(PADDED))

it.each([
  ['empty', (extents: Extents, blocks: number) => extents.allocateChain(blocks)],
  [
    'filled',
    (extents: Extents, blocks: number) => extents.adopt(new Uint8Array(blocks * blockBytes(PADDED))),
  ],
])('a chain of %s blocks that is too long for what is left takes nothing of it', (_, chain) => {
  const extents = new Extents(PADDED)
  // Never touched, so it takes no memory.
  extents.restore(MOST - 2, () => {})
  const full = expect.objectContaining({ code: 'DRIFT_FULL' })
  expect(() => chain(extents, 3)).toThrow(full)
  chain(extents, 2)
  expect(() => chain(extents, 1)).toThrow(full)
})
