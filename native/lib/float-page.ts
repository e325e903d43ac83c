/** Sizes and faults of float pages and packed words, as src/float_page.c and lib/reference/float-page have them. */

/** Why a page cannot be decoded. */
export const PageFault = {
  /** It is shorter than its content. */
  length: 1,
  /** Its codec or element type is of a later version. */
  unknown: 2,
  /** Its fields are not those that its codec writes for so many values. */
  fields: 3,
  /** Its exceptions make no sense. */
  exceptions: 4,
} as const

/** Room that a page of so many values of 4 or 8 bytes may need. */
export function floatPageRoom(values: number, elementBytes: number): number {
  return 64 + values * elementBytes
}

/** Bytes of `count` words of `width` bits: blocks of 1024 in 16 lanes, the last to the end of the line of 128 bytes that it reaches. */
export function packedBytes(count: number, width: number): number {
  const rows = Math.ceil((count % 1024) / 16)
  return (Math.floor(count / 1024) * width + Math.ceil((rows * width) / 64)) * 128
}
