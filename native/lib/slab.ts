/// <reference lib="es2024.sharedmemory" />
/**
 * Slabs: shared memory that grows in place, so that views and threads that hold it stay valid.
 * Make fixed-length views over a slab: a view with a length costs nothing, one that tracks the growing length makes
 * every access about ten times slower in JavaScript.
 */
import { addon } from './addon.js'
import { NativeError } from './error.js'

const LAST_PAGE_BYTES = 65_536

/** In Node 20 no growable SharedArrayBuffer is above 4 GiB; the last page is left out so that byte offsets fit in a u32. */
export const MAX_SLAB_BYTES: number = 4 * 1024 ** 3 - LAST_PAGE_BYTES

/**
 * Of slabs that are addressed by row or by block: from Node 22 on a growable SharedArrayBuffer may be larger than 4 GiB. Address space
 * is reserved at once, so no more than what 2^32 float32 take.
 */
export const MAX_ROW_SLAB_BYTES: number = largestRowSlab()

function largestRowSlab(): number {
  const bytes = 16 * 1024 ** 3 - LAST_PAGE_BYTES
  try {
    new SharedArrayBuffer(0, { maxByteLength: bytes })
    return bytes
  } catch {
    return MAX_SLAB_BYTES
  }
}

/**
 * A slab takes two or three of the mappings that a process may have (65 530 on Linux), and V8 does not feel the pressure of
 * dropped ones: a process that opened and closed some thousand indexes would end although it holds next to nothing.
 */
const COLLECT_EVERY = 2048
let slabsSinceCollection = 0

/** Address space for `maxBytes` is reserved at once, memory is used as it is touched. New bytes are zero. */
export function allocateSlab(bytes: number, maxBytes: number = bytes): SharedArrayBuffer {
  if (!isSize(bytes) || !isSize(maxBytes) || bytes > maxBytes) {
    throw new NativeError(
      'DRIFT_SLAB_SIZE',
      `a slab of ${bytes} bytes, growing to ${maxBytes}, is not within 0 <= bytes <= maxBytes <= ${MAX_ROW_SLAB_BYTES}`,
      { bytes, maxBytes },
    )
  }
  const slab = reserve(bytes, maxBytes)
  adviseHugePages(slab)
  return slab
}

/** A page of the system's large size; a slab ends at one, or else its last part is never backed by one. */
const HUGE_PAGE_BYTES = 2 * 1024 * 1024

/**
 * Grow in place to `bytes`, or to the next 2 MiB when it is large; a slab that is as large already stays. Doubling is the caller's
 * business.
 */
export function growSlab(slab: SharedArrayBuffer, bytes: number): void {
  if (!isSize(bytes) || bytes > slab.maxByteLength) {
    throw new NativeError(
      'DRIFT_SLAB_SIZE',
      `a slab that may grow to ${slab.maxByteLength} bytes cannot grow to ${bytes}`,
      { bytes, maxBytes: slab.maxByteLength },
    )
  }
  if (bytes <= slab.byteLength) return
  const whole = Math.min(slab.maxByteLength, Math.ceil(bytes / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES)
  try {
    slab.grow(2 * bytes > HUGE_PAGE_BYTES ? whole : bytes)
  } catch (cause) {
    throw outOfMemory(bytes, cause)
  }
  adviseHugePages(slab)
}

/**
 * Bytes that the first `used` bytes of a slab keep in memory: whole large pages where it has some. Room for growth that was never
 * touched takes address space only.
 */
export function touchedBytes(slab: SharedArrayBuffer | Uint8Array['buffer'], used: number): number {
  const page = slab.byteLength >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : SMALL_PAGE_BYTES
  return Math.min(slab.byteLength, Math.ceil(used / page) * page)
}

const SMALL_PAGE_BYTES = 4096

/** Random reads of rows miss the TLB: pages of 2 MiB cut them by about 18 %. Nothing happens without the addon. */
export function adviseHugePages(memory: SharedArrayBuffer): void {
  addon?.adviseHugePages(new Uint8Array(memory))
}

/** So far ahead memory is touched: what a writer fills in some 20 ms. */
const AHEAD_BYTES = 2 * HUGE_PAGE_BYTES

/**
 * The first touch of a page costs several times what filling it does, on a virtual machine most of all: for a slab that is filled from
 * its start on, a thread of the addon does it a few pages ahead. Nothing happens without the addon, and in a slab of small pages.
 */
export class TouchedAhead {
  readonly #slab: SharedArrayBuffer
  /** Touched so far, or about to be. */
  bytes = 0

  constructor(slab: SharedArrayBuffer) {
    this.#slab = slab
  }

  /** `used` bytes are filled, or will be at once. */
  reach(used: number): void {
    if (used + HUGE_PAGE_BYTES <= this.bytes) return
    const from = Math.max(this.bytes, Math.ceil(used / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES)
    const to = Math.min(this.#slab.byteLength, from + AHEAD_BYTES)
    if (from === 0 || to <= from) return
    if (addon?.touchAhead(new Uint8Array(this.#slab, from, to - from)) === true) this.bytes = to
  }
}

function reserve(bytes: number, maxBytes: number): SharedArrayBuffer {
  if (++slabsSinceCollection === COLLECT_EVERY) {
    addon?.collectGarbage()
    slabsSinceCollection = 0
  }
  try {
    return new SharedArrayBuffer(bytes, { maxByteLength: maxBytes })
  } catch (cause) {
    throw outOfMemory(maxBytes, cause)
  }
}

function outOfMemory(bytes: number, cause: unknown): NativeError {
  return new NativeError('DRIFT_OUT_OF_MEMORY', `no memory for a slab of ${bytes} bytes`, { bytes }, cause)
}

function isSize(bytes: number): boolean {
  return Number.isSafeInteger(bytes) && bytes >= 0 && bytes <= MAX_ROW_SLAB_BYTES
}
