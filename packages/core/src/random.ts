/**
 * Chance that can be repeated: everything below the server that needs randomness takes a generator made from a seed.
 * sfc32 by Chris Doty-Humphrey (PractRand), seeded through splitmix32 so that near seeds give unrelated streams.
 * Not for secrets.
 */

/** A generator of numbers uniform in [0, 1), in steps of 2^-32. `seed`: an integer, told apart modulo 2^64. */
export function seededRandom(seed: number): () => number {
  const mix = splitmix32((seed >>> 0) ^ Math.imul(Math.floor(seed / TWO_32) >>> 0, 0x9e3779b1))
  let a = mix()
  let b = mix()
  let c = mix()
  let counter = 1
  return () => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return (sum >>> 0) / TWO_32
  }
}

/** One draw from the standard normal distribution (Box and Muller 1958); takes two numbers from `random`. */
export function gaussian(random: () => number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random())) // 1 - u is never 0
  return radius * Math.cos(2 * Math.PI * random())
}

const TWO_32 = 4_294_967_296

function splitmix32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let word = state ^ (state >>> 16)
    word = Math.imul(word, 0x21f0aaad)
    word ^= word >>> 15
    word = Math.imul(word, 0x735a2d97)
    return word ^ (word >>> 15)
  }
}
