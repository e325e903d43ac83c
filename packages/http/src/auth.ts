/**
 * Who asks, and what may they: API keys with scopes over collections. Keys are random, so their SHA-256 is kept and
 * compared in constant time; a key is never kept, logged or taken from a URL.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { HttpError } from './errors.js'
import { assertKnown } from './known.js'

/** `write` contains `read`, `admin` contains both. */
export type Scope = 'read' | 'write' | 'admin'

export interface ApiKey {
  /** Names the key in logs and rate limits. */
  readonly id: string
  /** `sha256:` and 64 hexadecimal digits, from `hashKey`. */
  readonly hash: string
  readonly scope: Scope
  /** Names of collections, `*` for any run of characters. Default: all. */
  readonly collections?: readonly string[]
  /** All collections of this key live under this name of their own; the caller does not see it. Letters, digits and `_`, at most 24. */
  readonly tenant?: string
}

export interface Principal {
  readonly id: string
  readonly scope: Scope
  readonly collections: readonly string[]
  readonly tenant?: string
}

/** What a hook of the host's decides by; the body has not been read. */
export interface Asking {
  readonly method: string
  readonly url: string
  readonly ip: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

export type Authenticate = (asking: Asking) => Principal | undefined | Promise<Principal | undefined>

const RANKS: Readonly<Record<Scope, number>> = { read: 1, write: 2, admin: 3 }
/** 32 random bytes and a prefix that scanners for leaked secrets can know. */
const KEY_PREFIX = 'drift_'
const MAX_KEY_BYTES = 256
const KEY_FIELDS: Record<keyof ApiKey, true> = {
  id: true,
  hash: true,
  scope: true,
  collections: true,
  tenant: true,
}
const HASH = /^sha256:([0-9a-f]{64})$/
const TENANT = /^[A-Za-z0-9_]{1,24}$/

export const EVERYTHING: Principal = { id: 'local', scope: 'admin', collections: ['*'] }

/** A new key: give `key` to the caller, keep `hash`. */
export function createKey(): { readonly key: string; readonly hash: string } {
  const key = KEY_PREFIX + randomBytes(32).toString('base64url')
  return { key, hash: hashKey(key) }
}

export function hashKey(key: string): string {
  return `sha256:${digest(key).toString('hex')}`
}

/** @throws HttpError DRIFT_OPTION for a list that cannot be used. */
export function authenticator(keys: readonly ApiKey[]): Authenticate {
  const known = keys.map(parseKey)
  return ({ headers }) => {
    const presented = presentedKey(headers)
    if (presented === undefined) return undefined
    const hash = digest(presented)
    let found: Principal | undefined
    // Every hash is compared, so that the time says nothing about which one it was.
    for (const { bytes, principal } of known) if (timingSafeEqual(bytes, hash)) found = principal
    return found
  }
}

export function allows(principal: Principal, scope: Scope): boolean {
  return RANKS[principal.scope] >= RANKS[scope]
}

export function seesCollection(principal: Principal, name: string): boolean {
  return principal.collections.some(glob => matches(glob, name))
}

export function seesAll({ collections, tenant }: Principal): boolean {
  return tenant === undefined && collections.includes('*')
}

/** @throws HttpError DRIFT_FORBIDDEN for who sees some collections only, where a call is about all of them. */
export function assertSeesAll(principal: Principal, why: string): void {
  if (seesAll(principal)) return
  throw new HttpError('DRIFT_FORBIDDEN', `${why}; this takes a key for all of them`)
}

function parseKey(key: ApiKey): { bytes: Buffer; principal: Principal } {
  // A restriction that is misspelt must not be none.
  assertKnown(key, KEY_FIELDS, 'a key')
  const { id, hash, scope, collections = ['*'], tenant } = key
  const hex = HASH.exec(hash)?.[1]
  const names = Array.isArray(collections) && collections.every(glob => typeof glob === 'string')
  if (typeof id !== 'string' || id === '' || !hex || !Object.hasOwn(RANKS, scope) || !names) {
    throw new HttpError(
      'DRIFT_OPTION',
      `key '${id}': expected { id, hash: 'sha256:…', scope, collections?, tenant? }`,
    )
  }
  if (tenant !== undefined && !TENANT.test(tenant)) {
    throw new HttpError(
      'DRIFT_OPTION',
      `key '${id}': tenant is '${tenant}', expected 1 to 24 letters, digits or _`,
    )
  }
  const principal = { id, scope, collections, ...(tenant === undefined ? {} : { tenant }) }
  return { bytes: Buffer.from(hex, 'hex'), principal }
}

function presentedKey(headers: Asking['headers']): string | undefined {
  const bearer = /^Bearer ([\x21-\x7e]+)$/i.exec(String(headers['authorization'] ?? ''))?.[1]
  const key = bearer ?? headers['x-api-key']
  return typeof key === 'string' && key.length <= MAX_KEY_BYTES ? key : undefined
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key, 'utf8').digest()
}

/** `*` stands for any run of characters; nothing else is special. */
function matches(glob: string, name: string): boolean {
  if (glob === '*') return true
  const [head, ...rest] = glob.split('*') as [string, ...string[]]
  if (rest.length === 0) return glob === name
  if (!name.startsWith(head)) return false
  const tail = rest.pop()!
  let at = head.length
  for (const part of rest) {
    const found = name.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return name.length - tail.length >= at && name.endsWith(tail)
}
