/** Proves that a checksum knows where its bytes belong, and that numbers which a double cannot hold are refused. */
import { describe, expect, it } from 'vitest'
import { uuidBytes } from '../uuid.js'
import { getU64, pageSeed, SectionKind, setU64, tocSeed } from './format.js'

const uuid = uuidBytes('00112233445566778899aabbccddeeff')
const other = uuidBytes('00112233445566778899aabbccddeefe')

describe('the seed of a checksum', () => {
  it('is another one for each file, section and page', () => {
    const { vectors, ids } = SectionKind
    const seeds = [
      pageSeed(uuid, vectors, 0),
      pageSeed(other, vectors, 0),
      pageSeed(uuid, ids, 0),
      tocSeed(uuid),
    ]
    for (let page = 1; page < 1000; page++) seeds.push(pageSeed(uuid, vectors, page))
    expect(new Set(seeds).size).toBe(seeds.length)
  })

  it('is the same in every version', () => {
    expect(pageSeed(uuid, SectionKind.vectors, 0x01020304)).toBe(2223206054)
  })
})

describe('a 64-bit field', () => {
  const view = new DataView(new ArrayBuffer(8))

  it.each([0, 1, 2 ** 32, Number.MAX_SAFE_INTEGER])('holds %d', value => {
    setU64(view, 0, value)
    expect(getU64(view, 0, 'test')).toBe(value)
  })

  it.each([2n ** 53n, 2n ** 63n, 2n ** 64n - 1n])('with %d is refused', value => {
    view.setBigUint64(0, value, true)
    expect(() => getU64(view, 0, 'test')).toThrow(expect.objectContaining({ code: 'DRIFT_CORRUPT_BOUNDS' }))
  })
})
