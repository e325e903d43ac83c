/**
 * The 64 bytes before the words of a float page, and what each codec may say in them. src/float_page.c draws them.
 */

export const PAGE_HEADER_BYTES = 64
export const BLOCK_VALUES = 1024
export const DICTIONARY_MAX = 8
/** Left bits that a dictionary entry holds. */
export const LEFT_BITS_MAX = 16
export const FLAG_SIGN = 1

export const RAW = 0
export const CONST = 1
export const ALP = 2
export const ALP_RD = 3

export interface PageHeader {
  codec: number
  readonly element: number
  width: number
  right: number
  flags: number
  trim: number
  entries: number
  codeBits: number
  readonly values: number
  readonly blocks: number
  base: bigint
  divisor: number
  exceptions: number
  exceptionsAt: number
  readonly dictionary: Uint16Array
  readonly zeros: bigint
}

/** The left bits of a value, `cut` bits up and under its sign: by the code, above which the sign stands as the highest bit of the index. */
export function leftsOf(
  { dictionary, codeBits, flags }: PageHeader,
  cut: number,
): { lefts: Uint32Array; mask: number } {
  const mask = (1 << (codeBits + (flags & FLAG_SIGN))) - 1
  const lefts = new Uint32Array(2 * DICTIONARY_MAX)
  for (let i = 0; i <= mask; i++) {
    lefts[i] = (dictionary[i & ((1 << codeBits) - 1)]! << cut) | ((i >> codeBits) << 31)
  }
  return { lefts, mask }
}

export function plainHeader(element: number, values: number): PageHeader {
  return {
    ...{ codec: RAW, element, width: 0, right: 0, flags: 0, trim: 0, entries: 0, codeBits: 0 },
    ...{ values, blocks: Math.ceil(values / BLOCK_VALUES), base: 0n, divisor: 0 },
    ...{ exceptions: 0, exceptionsAt: 0, dictionary: new Uint16Array(DICTIONARY_MAX), zeros: 0n },
  }
}

export function writeHeader(page: Uint8Array, header: PageHeader): void {
  const view = new DataView(page.buffer, page.byteOffset, PAGE_HEADER_BYTES)
  const { codec, element, width, right, flags, trim, entries, codeBits } = header
  page.set([codec, element, width, right, flags, trim, entries, codeBits])
  view.setUint32(8, header.values, true)
  view.setUint32(12, header.blocks, true)
  view.setBigInt64(16, header.base, true)
  view.setFloat64(24, header.divisor, true)
  view.setUint32(32, header.exceptions, true)
  view.setUint32(36, header.exceptionsAt, true)
  header.dictionary.forEach((left, i) => {
    view.setUint16(40 + 2 * i, left, true)
  })
  view.setBigUint64(56, header.zeros, true)
}

export function readHeader(page: Uint8Array): PageHeader {
  const view = new DataView(page.buffer, page.byteOffset, PAGE_HEADER_BYTES)
  const dictionary = new Uint16Array(DICTIONARY_MAX)
  for (let i = 0; i < DICTIONARY_MAX; i++) dictionary[i] = view.getUint16(40 + 2 * i, true)
  return {
    codec: page[0]!,
    element: page[1]!,
    width: page[2]!,
    right: page[3]!,
    flags: page[4]!,
    trim: page[5]!,
    entries: page[6]!,
    codeBits: page[7]!,
    values: view.getUint32(8, true),
    blocks: view.getUint32(12, true),
    base: view.getBigInt64(16, true),
    divisor: view.getFloat64(24, true),
    exceptions: view.getUint32(32, true),
    exceptionsAt: view.getUint32(36, true),
    dictionary,
    zeros: view.getBigUint64(56, true),
  }
}

/** Bits of a value that the dictionary stands for. */
export function leftBits(header: PageHeader, bits: number): number {
  return bits - header.trim - header.right - (header.flags & FLAG_SIGN)
}

/** What differs between float32 and float64 in a header. */
export interface HeaderLimits {
  readonly bits: number
  readonly alpWidthMax: number
  /** |base| < this. */
  readonly baseLimit: bigint
  readonly normalMin: number
  readonly normalMax: number
  /** Nearest number of the element type. */
  round(value: number): number
}

/** Whether the fields are those that the codec writes. */
export function fieldsHold(header: PageHeader, limits: HeaderLimits): boolean {
  const { codec, width, base, divisor } = header
  const { bits, alpWidthMax, baseLimit, normalMin, normalMax, round } = limits
  const undivided = Object.is(divisor, 0)
  const whole = header.exceptions === 0 && header.exceptionsAt === 0
  if (codec === RAW) return isPlain(header) && undivided && whole && width === bits && base === 0n
  if (codec === CONST) {
    const fits = BigInt.asUintN(64, base) < 1n << BigInt(bits)
    return isPlain(header) && undivided && whole && width === 0 && header.values > 0 && fits
  }
  if (codec === ALP) {
    const near = base > -baseLimit && base < baseLimit
    const normal = divisor >= normalMin && divisor <= normalMax && round(divisor) === divisor
    return isPlain(header) && width <= alpWidthMax && near && normal
  }
  return undivided && base === 0n && cutHolds(header, bits)
}

function isPlain({ right, flags, trim, entries, codeBits, dictionary }: PageHeader): boolean {
  return (right | flags | trim | entries | codeBits) === 0 && dictionary.every(left => left === 0)
}

function cutHolds(header: PageHeader, bits: number): boolean {
  const { width, right, flags, trim, entries, codeBits, dictionary } = header
  if (flags > FLAG_SIGN || trim >= bits) return false
  const left = leftBits(header, bits)
  const codes = codeBits <= 3 && codeBits <= left && entries >= 1 && entries <= 1 << codeBits
  if (left < 1 || left > LEFT_BITS_MAX || !codes) return false
  if (width !== (flags & FLAG_SIGN) + codeBits + right || width >= bits) return false
  return dictionary.every((entry, i) => entry >> left === 0 && (i < entries || entry === 0))
}
