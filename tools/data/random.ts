// Chance that a seed repeats: the only source of randomness in the tools.
// Source: Chris Doty-Humphrey, PractRand 0.93, sfc32 (128 bits of state, period at least 2^32).

/** Uniform in [0, 1), 32 random bits each. The same seed gives the same sequence everywhere. */
export function seededRandom(seed: number): () => number {
  let a = seed | 0
  let b = Math.floor(seed / 2 ** 32) | 0
  let c = 0x9e3779b9 | 0
  let counter = 1
  const next = (): number => {
    const sum = (a + b + counter++) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return (sum >>> 0) / 2 ** 32
  }
  // The first values still show the seed; the author's own seeding drops twelve.
  for (let i = 0; i < 12; i++) next()
  return next
}

/** A standard normal draw (Box and Muller 1958, one of the pair). */
export function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}
