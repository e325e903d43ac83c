/**
 * What one argument has to be, and the error for one that is not: the same sentence in front of every kernel. `length` is the least that
 * a view has to have.
 */
import { NativeError } from './error.js'
import type { KernelMetric } from './kernels.js'

/** Longest vector: keeps 255 * 127 * dim, the largest integer sum of SQ8, inside 31 bits. */
export const MAX_DIMENSION = 65_535

const typedArrayTag: () => string | undefined = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)!.get!

/** 'Float32Array' and so on for a typed array, undefined for anything else. By tag, not by instanceof: a prototype can be borrowed, and a view of another realm (vm, jsdom) is as good. */
export function kindOf(value: unknown): string | undefined {
  return typedArrayTag.call(value)
}

export function describe(value: unknown): string {
  if (typeof value === 'object' && value !== null) return kindOf(value) ?? 'an object'
  return typeof value === 'function' ? 'a function' : String(value)
}

export function wrong(argument: string, value: string, expected: string): NativeError {
  return new NativeError('DRIFT_KERNEL_ARGUMENT', `${argument} is ${value}, expected ${expected}`, {
    argument,
    value,
    expected,
  })
}

export function requireObject(name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) throw wrong(name, describe(value), 'an object')
}

export function requireMetric(metric: KernelMetric): void {
  if (metric !== 'l2' && metric !== 'ip') throw wrong('metric', describe(metric), "'l2' or 'ip'")
}

export function requireDim(dim: number): void {
  if (Number.isInteger(dim) && dim >= 1 && dim <= MAX_DIMENSION) return
  throw wrong('dim', describe(dim), `1..${MAX_DIMENSION}`)
}

export function requireNumber(name: string, value: number): void {
  if (typeof value !== 'number') throw wrong(name, describe(value), 'a number')
}

export function requireRotation(dim: number, padded: number, flips: Uint32Array): void {
  requireCount('padded', padded)
  if (padded % 64 !== 0 || padded < dim) throw wrong('padded', String(padded), 'a multiple of 64 from dim on')
  requireWords('flips', flips, 0)
  if (flips.length % padded !== 0) throw wrong('flips', `${flips.length} words`, 'padded words a round')
}

/** Counts, row numbers and seeds are u32: no array here is longer, and products with `dim` stay exact. */
export function requireCount(name: string, count: number): void {
  if (typeof count === 'number' && count >>> 0 === count) return
  throw wrong(name, describe(count), 'an integer of 32 bits')
}

export function requireIndex(index: Uint32Array, count: number, rowCount: number): void {
  requireCount('count', count)
  requireWords('index', index, count)
  requireRows('index', index, 0, count, rowCount)
}

export function requireRows(
  name: string,
  rows: Uint32Array,
  start: number,
  end: number,
  rowCount: number,
): void {
  for (let j = start; j < end; j++) {
    if (rows[j]! >= rowCount) {
      throw wrong(`${name}[${j - start}]`, String(rows[j]), `a row below ${rowCount}`)
    }
  }
}

export function requireFloats(
  name: string,
  view: Float32Array | undefined,
  length: number,
): asserts view is Float32Array {
  requireView(name, view, 'Float32Array', length)
}

export function requireDoubles(name: string, view: Float64Array, length: number): void {
  requireView(name, view, 'Float64Array', length)
}

export function requireWords(name: string, view: Uint32Array, length: number): void {
  requireView(name, view, 'Uint32Array', length)
}

export function requireCodes(
  name: string,
  view: Int8Array | undefined,
  length: number,
): asserts view is Int8Array {
  requireView(name, view, 'Int8Array', length)
}

export function requireValues(name: string, view: Float32Array | Float64Array): void {
  requireView(name, view, kindOf(view) === 'Float64Array' ? 'Float64Array' : 'Float32Array', 0)
}

/** Of a packed word. */
export function requireWidth(width: number): void {
  if (!(Number.isInteger(width) && width >= 0 && width < 64)) throw wrong('width', describe(width), '0..63')
}

export function requireBytes(
  name: string,
  view: Uint8Array | undefined,
  length: number,
): asserts view is Uint8Array {
  requireView(name, view, 'Uint8Array', length)
}

/** @returns how many rows the codes and factors hold. */
export function requireSq8Rows(
  codes: Uint8Array | undefined,
  factors: Float32Array | undefined,
  dim: number,
): number {
  requireBytes('codes', codes, 0)
  requireFloats('factors', factors, 0)
  return Math.min(Math.floor(codes.length / dim), factors.length >>> 1)
}

export function requireView(
  name: string,
  view: { readonly length: number } | undefined,
  kind: string,
  length: number,
): asserts view is { readonly length: number } {
  if (view === undefined || kindOf(view) !== kind) throw wrong(name, describe(view), `a ${kind}`)
  if (view.length < length) {
    throw wrong(name, `a ${kind} of ${view.length} values`, `at least ${length} values`)
  }
}
