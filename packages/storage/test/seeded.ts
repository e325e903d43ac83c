/** Chance for tests, the same on every run: mulberry32 (Tommy Ettinger). */

export interface Seeded {
  /** In [0, 1). */
  next(): number
  /** In 0 .. below - 1. */
  int(below: number): number
  bytes(length: number): Uint8Array
  floats(length: number): Float32Array
}

export function seeded(seed: number): Seeded {
  let state = seed >>> 0
  const word = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }
  const next = (): number => word() / 2 ** 32
  return {
    next,
    int: below => Math.floor(next() * below),
    bytes: length => Uint8Array.from({ length }, () => word() & 0xff),
    floats: length => Float32Array.from({ length }, () => next() * 2 - 1),
  }
}
