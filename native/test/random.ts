// Seeded numbers for tests: sfc32, so that a failing case can be repeated.
export interface Random {
  /** In [0, 1). */
  unit(): number
  /** In 0 .. n - 1. */
  below(n: number): number
  /** About normal, mean 0, deviation 1. */
  normal(): number
}

export function random(seed: number): Random {
  let a = 0x9e3779b9
  let b = 0x243f6a88
  let c = seed | 0
  let counter = 1
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + t) | 0
    return t >>> 0
  }
  for (let i = 0; i < 12; i++) next()
  const unit = (): number => next() / 2 ** 32
  return {
    unit,
    below: n => Math.floor(unit() * n),
    normal: () => unit() + unit() + unit() + unit() - 2 + (unit() + unit() + unit() + unit() - 2),
  }
}

/** A view of `length` floats that starts `lead` floats into its buffer: 4-byte alignment and no better. */
export function floats(length: number, lead: number, fill: () => number): Float32Array {
  const view = new Float32Array(lead + length).subarray(lead)
  for (let i = 0; i < length; i++) view[i] = fill()
  return view
}

/** The same for bytes. */
export function bytes(length: number, lead: number, fill: () => number): Uint8Array {
  const view = new Uint8Array(lead + length).subarray(lead)
  for (let i = 0; i < length; i++) view[i] = fill()
  return view
}

export function signedBytes(length: number, lead: number, fill: () => number): Int8Array {
  const view = new Int8Array(lead + length).subarray(lead)
  for (let i = 0; i < length; i++) view[i] = fill()
  return view
}

/** All small lengths, then those around the steps of every vector width. */
export const LENGTHS: readonly number[] = [
  ...Array.from({ length: 130 }, (_, i) => i + 1),
  ...[191, 192, 193, 255, 256, 257, 383, 384, 385, 511, 512, 513, 767, 768, 769, 1000, 1023, 1024, 1025],
]
