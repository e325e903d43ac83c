/**
 * Dotted paths into payloads. Rule: only own properties count, so that no name reaches a prototype. An array on the way
 * stands for the objects in it; an array at the end stands for its elements.
 */
import type { Payload } from '../rows.js'

export type Path = readonly string[]
export type Scalar = string | number | boolean | null

/** Whether any value at the path passes: an array's elements one by one, then objects and inner arrays as they are. */
export function someValue(
  payload: Payload | undefined,
  path: Path,
  test: (value: unknown) => boolean,
): boolean {
  return walk(payload, path, 0, value => (Array.isArray(value) ? value.some(test) : test(value)))
}

/** Whether the path leads anywhere: null, an empty array and an empty object are something. */
export function isPresent(payload: Payload | undefined, path: Path): boolean {
  return walk(payload, path, 0, () => true)
}

/** The scalars at the path; undefined when it leads nowhere. */
export function scalarsAt(payload: Payload | undefined, path: Path): Scalar[] | undefined {
  const scalars: Scalar[] = []
  let present = false
  walk(payload, path, 0, value => {
    present = true
    for (const item of Array.isArray(value) ? value : [value]) if (isScalar(item)) scalars.push(item)
    return false
  })
  return present ? scalars : undefined
}

export function isScalar(value: unknown): value is Scalar {
  return (
    value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
  )
}

function walk(value: unknown, path: Path, at: number, visit: (leaf: unknown) => boolean): boolean {
  if (at === path.length) return visit(value)
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) {
    return value.some(item => !Array.isArray(item) && walk(item, path, at, visit))
  }
  const part = path[at]!
  return Object.hasOwn(value, part) && walk((value as Payload)[part], path, at + 1, visit)
}
