/**
 * What a caller gave, before it becomes a request. Rule: the server judges, and here is refused only what JSON would change or leave out
 * on the way, since the server would never see it: without its `undefined`, `{ tenant: undefined }` is a filter that every row matches.
 */
import { ClientError } from './errors.js'
import type { Filter, Id } from './rows.js'
import { idToJson, type JsonId } from './wire.js'

/** Beyond what the server takes; ends also what holds itself. */
const MAX_FILTER_DEPTH = 64
const MAX_PATCH_DEPTH = 64
const MAX_SHOWN_CHARS = 40

/** The options of a call, `filter` among them. @throws ClientError DRIFT_OPTION, DRIFT_UNKNOWN_OPTION, DRIFT_FILTER */
export function optionsOf<T extends object>(
  options: T | undefined,
  where: string,
  known?: Record<keyof T, true>,
): T {
  if (options === undefined) return {} as T
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new ClientError('DRIFT_OPTION', `the options of ${where} are ${show(options)}, expected an object`)
  }
  for (const key of Object.keys(options)) {
    if (!known || Object.hasOwn(known, key)) continue
    const names = Object.keys(known)
    throw new ClientError(
      'DRIFT_UNKNOWN_OPTION',
      `${where} has no option '${key}', only ${names.join(', ')}`,
      {
        option: key,
        known: names,
      },
    )
  }
  const { filter, signal } = options as { filter?: unknown; signal?: unknown }
  if (filter !== undefined) assertFilter(filter, 'filter', 0)
  if (signal !== undefined && typeof (signal as Partial<AbortSignal> | null)?.throwIfAborted !== 'function') {
    throw new ClientError('DRIFT_OPTION', `signal is ${show(signal)}, expected an AbortSignal`, {
      option: 'signal',
    })
  }
  return options
}

/** As JSON has it. @throws ClientError DRIFT_ID for an object, which JSON might make an id of: a Date its text. */
export function idOf(id: unknown): JsonId {
  if (typeof id !== 'object' && typeof id !== 'function') return idToJson(id as Id)
  const message = `id is ${show(id)}, expected a string, a safe integer or a bigint`
  throw new ClientError('DRIFT_ID', message, { type: typeof id })
}

/** A patch, in which null removes. @throws ClientError DRIFT_PATCH for what JSON would make a plain object of, or null. */
export function patchOf(patch: unknown): object {
  if (!isPlain(patch) || typeof (patch as { toJSON?: unknown }).toJSON === 'function') {
    const message = `the patch is ${show(patch)}, expected a plain object such as { seen: true }`
    throw new ClientError('DRIFT_PATCH', message)
  }
  try {
    JSON.stringify(patch)
  } catch (cause) {
    throw new ClientError('DRIFT_PATCH', `the patch is not JSON: ${(cause as Error).message}`, {}, { cause })
  }
  assertKept(patch, 'patch', 0)
  return patch
}

/** Ids or a filter, as a body. @throws ClientError DRIFT_BATCH, DRIFT_FILTER */
export function targetOf(
  target: readonly Id[] | { readonly filter: Filter },
  where: string,
): { readonly ids: readonly JsonId[] } | { readonly filter: Filter } {
  if (Array.isArray(target)) return { ids: Array.from(target, idOf) }
  const keys = typeof target === 'object' && target !== null ? Object.keys(target) : []
  if (keys.length !== 1 || keys[0] !== 'filter') {
    throw new ClientError(
      'DRIFT_BATCH',
      `${where} got ${show(target)}, expected an array of ids or { filter }`,
    )
  }
  const { filter } = target as { readonly filter: Filter }
  assertFilter(filter, 'filter', 0)
  return { filter }
}

/** Whether it is a plain object, or one without a prototype. */
export function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Also a Buffer, and one of another realm. */
export function isBytes(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === '[object Uint8Array]'
}

/** A value as a person would write it, short. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, MAX_SHOWN_CHARS))
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'object' && value !== null) return value.constructor?.name ?? 'an object'
  return String(value)
}

/** What an array holds is null there, as in any payload. A date of another realm is no instance of this one's. */
function assertKept(value: unknown, where: string, depth: number): void {
  const isDate = Object.prototype.toString.call(value) === '[object Date]'
  if ((isDate || typeof value === 'number') && !Number.isFinite(Number(value))) {
    const what = `${where.slice(0, 200)} is ${String(value)}, which JSON writes as null, and null removes`
    throw new ClientError('DRIFT_PATCH', what)
  }
  if (!isPlain(value) || depth > MAX_PATCH_DEPTH) return
  for (const [key, part] of Object.entries(value)) assertKept(part, `${where}.${key}`, depth + 1)
}

/** Only what JSON has a word for. */
function assertFilter(value: unknown, where: string, depth: number): void {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return
  if (typeof value === 'number' && Number.isFinite(value)) return
  if (depth > MAX_FILTER_DEPTH) {
    throw new ClientError('DRIFT_FILTER_LIMIT', `the filter is deeper than ${MAX_FILTER_DEPTH} levels`)
  }
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) assertFilter(value[i], `${where}[${i}]`, depth + 1)
  } else if (isPlain(value)) {
    for (const [key, part] of Object.entries(value)) assertFilter(part, `${where}.${key}`, depth + 1)
  } else {
    const path = where.slice(0, 200)
    const hint = value instanceof Date ? '; write a date as toISOString() or getTime()' : ''
    throw new ClientError('DRIFT_FILTER', `${path} is ${show(value)}, which no filter can hold${hint}`, {
      path,
    })
  }
}
