// The share of a ball's volume that lies beyond a plane: half of the regularised incomplete beta function at 1 - (h/rho)^2,
// with (dim + 1) / 2 and 1/2 (Li 2011; Quake, OSDI 2025, uses it for the partitions next to the nearest one).

const TABLE = 1024

/** @returns a function of h / rho, 0 or more: 0.5 at the centre, 0 from the surface on. */
export function capShare(dim: number): (height: number) => number {
  const table = Float64Array.from({ length: TABLE + 1 }, (_, i) => {
    const height = i / TABLE
    return 0.5 * betaShare(1 - height * height, (dim + 1) / 2, 0.5)
  })
  return height => {
    if (!(height < 1)) return 0
    const at = Math.max(0, height) * TABLE
    const low = Math.floor(at)
    return table[low]! + (at - low) * (table[low + 1]! - table[low]!)
  }
}

/** The regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method; DLMF 8.17.22). */
export function betaShare(x: number, a: number, b: number): number {
  if (x <= 0) return 0
  if (x >= 1) return 1
  const logFront = logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)
  const front = Math.exp(logFront)
  // The fraction converges fast on this side of the mean only.
  return x < (a + 1) / (a + b + 2) ? (front * fraction(x, a, b)) / a : 1 - (front * fraction(1 - x, b, a)) / b
}

const TINY = 1e-300

function fraction(x: number, a: number, b: number): number {
  let c = 1
  let d = 1 / away(1 - ((a + b) * x) / (a + 1))
  let value = d
  for (let m = 1; m < 300; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
    d = 1 / away(1 + even * d)
    c = away(1 + even / c)
    value *= d * c
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))
    d = 1 / away(1 + odd * d)
    c = away(1 + odd / c)
    value *= d * c
    if (Math.abs(d * c - 1) < 1e-14) break
  }
  return value
}

function away(value: number): number {
  return Math.abs(value) < TINY ? TINY : value
}

/** Stirling's series after shifting the argument above 10: twelve digits. */
function logGamma(x: number): number {
  let shift = 0
  let at = x
  for (; at < 10; at++) shift -= Math.log(at)
  const inverse = 1 / (at * at)
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / at
  return shift + (at - 0.5) * Math.log(at) - at + 0.5 * Math.log(2 * Math.PI) + series
}
