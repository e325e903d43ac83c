/** What an argument is, and the error for one that is not what it should be: the same sentence in front of every kernel. */
import { NativeError } from './error.js'

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
