// IEEE 754 binary16 to float32. Every float16 has an exact float32, so this loses nothing.

/**
 * out[i] = the value of the float16 with the bits bits[i]. NaN stays NaN.
 *
 * @param out - at least bits.length long.
 */
export function f16ToF32(bits: Uint16Array, out: Float32Array): void {
  for (let i = 0; i < bits.length; i++) out[i] = table[bits[i]!]!
}

/** All 65 536 values: 256 KiB, and one load per value instead of the arithmetic. */
const table = Float32Array.from({ length: 65_536 }, (_, bits) => widen(bits))

function widen(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}
