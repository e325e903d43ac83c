/**
 * Messages to threads with typed arrays that end beyond 4 GiB. V8 tells the other thread their place and length in 32 bits (Node 22 and
 * 24), which cuts them off; so they travel as their buffer and numbers, and are made again where they arrive.
 */

const REACH_BYTES = 2 ** 32 - 1

interface LargeView {
  /** Of the view's class. */
  readonly largeView: string
  readonly buffer: ArrayBufferLike
  readonly byteOffset: number
  readonly length: number
}

const CLASSES: Readonly<
  Record<string, new (buffer: ArrayBufferLike, byteOffset: number, length: number) => ArrayBufferView>
> = { Uint8Array, Uint32Array, Float32Array }

/**
 * @param message - plain objects and arrays, without cycles; it is not changed, and what holds no large view is passed on as it is.
 * @param reach - bytes from the start of a buffer that a view may take as it is.
 */
export function packViews<T>(message: T, reach: number = REACH_BYTES): T {
  return changed(message, value => {
    if (!ArrayBuffer.isView(value) || value.byteOffset + value.byteLength <= reach) return value
    const { buffer, byteOffset, length } = value as Uint8Array
    return { largeView: value.constructor.name, buffer, byteOffset, length } satisfies LargeView
  })
}

/** What `packViews` was given. */
export function unpackViews<T>(message: T): T {
  return changed(message, value => {
    if (!isLarge(value)) return value
    return new CLASSES[value.largeView]!(value.buffer, value.byteOffset, value.length)
  })
}

/** With `change` of every leaf and object below; where nothing changes, the same. Long arrays are of numbers, ids or texts. */
function changed<T>(value: T, change: (value: unknown) => unknown): T {
  const own = change(value)
  if (own !== value || typeof value !== 'object' || value === null) return own as T
  if (
    Array.isArray(value) ? typeof value[0] !== 'object' : Object.getPrototypeOf(value) !== Object.prototype
  ) {
    return value
  }
  let copy: T | undefined
  for (const key of Object.keys(value) as (keyof T)[]) {
    const after = changed(value[key], change)
    if (after === value[key]) continue
    copy ??= (Array.isArray(value) ? [...value] : { ...value }) as T
    copy[key] = after
  }
  return copy ?? value
}

function isLarge(value: unknown): value is LargeView {
  return typeof value === 'object' && value !== null && 'largeView' in value
}
