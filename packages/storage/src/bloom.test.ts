/** Proves that the id filter never misses, keeps its rate, restores to the same answers, and refuses bytes that make no sense. */
import { describe, expect, it } from 'vitest'
import { ascii } from '../test/fixture.js'
import { seeded } from '../test/seeded.js'
import { IdFilter } from './bloom.js'
import { StorageError } from './errors.js'

const KEYS = 20_000

function filled(rate: number): IdFilter {
  const filter = IdFilter.create(KEYS, rate)
  for (let i = 0; i < KEYS; i++) filter.add(ascii(`in-${i}`))
  return filter
}

describe('the id filter', () => {
  it.each([
    [0.001, 200_000],
    [0.01, 50_000],
    [0.05, 20_000],
  ])('answers yes for absent ids at most 1.3 times as often as its rate %d', (rate, probes) => {
    const filter = filled(rate)
    let hits = 0
    for (let i = 0; i < probes; i++) if (filter.mightContain(ascii(`out-${i}`))) hits++
    expect(hits / probes).toBeLessThan(rate * 1.3)
    expect(hits).toBeGreaterThan(0)
  })

  it('never misses an id, before and after a round trip through bytes', () => {
    const filter = filled(0.01)
    const restored = IdFilter.fromBytes(filter.toBytes(), 'test')
    expect(restored.toBytes()).toEqual(filter.toBytes())
    expect(restored.keys).toBe(KEYS)
    for (let i = 0; i < KEYS; i++) {
      const id = ascii(`in-${i}`)
      if (!filter.mightContain(id) || !restored.mightContain(id)) expect.unreachable(`id ${i} is missed`)
    }
  })

  it('tells apart ids that differ in any byte, the empty id and ids inside of larger buffers', () => {
    const filter = IdFilter.create(2, 0.001)
    const large = seeded(5).bytes(64)
    filter.add(new Uint8Array(0))
    filter.add(large.subarray(8, 24))
    expect(filter.mightContain(Uint8Array.of())).toBe(true)
    expect(filter.mightContain(large.slice(8, 24))).toBe(true)
    expect(filter.mightContain(large.subarray(9, 25))).toBe(false)
  })

  it('of no keys contains nothing', () => {
    const filter = IdFilter.create(0, 0.01)
    expect(filter.mightContain(ascii('a'))).toBe(false)
    expect(IdFilter.fromBytes(filter.toBytes(), 'test').mightContain(ascii('a'))).toBe(false)
  })

  it.each([
    ['algorithm', 0, 'DRIFT_FORMAT_FEATURE'],
    ['hash', 2, 'DRIFT_FORMAT_FEATURE'],
    ['hash count', 5, 'DRIFT_CORRUPT_DECODE'],
    ['bits', 8, 'DRIFT_CORRUPT_DECODE'],
    ['bits, beyond what a double holds', 15, 'DRIFT_CORRUPT_BOUNDS'],
    ['rate', 31, 'DRIFT_CORRUPT_DECODE'],
  ])('refuses bytes with a wrong %s', (_, at, code) => {
    const bytes = IdFilter.create(10, 0.01).toBytes()
    bytes[at]! ^= 0xff
    expect(() => IdFilter.fromBytes(bytes, 'test')).toThrow(expect.objectContaining({ code }))
  })

  it('refuses bytes of every wrong length', () => {
    const bytes = IdFilter.create(10, 0.01).toBytes()
    for (let length = 0; length < bytes.length; length++) {
      expect(() => IdFilter.fromBytes(bytes.subarray(0, length), 'test')).toThrow(StorageError)
    }
    expect(() => IdFilter.fromBytes(new Uint8Array([...bytes, 0]), 'test')).toThrow(StorageError)
  })

  it.each([
    [-1, 0.01],
    [0.5, 0.01],
    [10, 0],
    [10, 1],
    [10, Number.NaN],
  ])('is not made for %d keys at rate %d', (keys, rate) => {
    expect(() => IdFilter.create(keys, rate)).toThrow(expect.objectContaining({ code: 'DRIFT_ARGUMENT' }))
  })
})
