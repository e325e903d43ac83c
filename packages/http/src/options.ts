/**
 * What a host gives, checked before anything is made of it: of an option that is misspelt or has another type, a limit or a key would
 * silently not be in force.
 */
import type { Drift } from '@drift/server'
import type { FastifyInstance } from 'fastify'
import { type ApiKey, type Authenticate, authenticator } from './auth.js'
import { assertOrigins } from './cors.js'
import { HttpError } from './errors.js'
import { assertKnown } from './known.js'
import { type Limits, parseLimits } from './limits.js'

export interface HandlerOptions {
  /** Who may do what. One of `keys`, `authenticate` and `open` has to be given. */
  readonly keys?: readonly ApiKey[]
  /** Instead of keys: decides by a request's headers, before its body is read; undefined refuses. */
  readonly authenticate?: Authenticate
  /** True: everyone may do everything. For a host that guards the handler itself. */
  readonly open?: boolean
  readonly limits?: Partial<Limits>
  /** Backups are made below this folder, under names of their own. Without it there are none. */
  readonly backupFolder?: string
  /** Further routes, behind the same guard: `config: { scope: 'read' }`, without it for admins only. */
  readonly routes?: (app: FastifyInstance) => void | Promise<void>
  /** Told of each request when it has been answered; what it throws, or a promise of it rejects with, is logged. Holds no keys, vectors or payloads. */
  readonly onAnswer?: (entry: AnswerEntry) => void | Promise<void>
  /** Names in the Host header that are answered, without ports. Default: any. */
  readonly hosts?: readonly string[]
  /** Origins whose pages may call from a browser, such as https://app.example.com. Default: none. */
  readonly origins?: readonly string[]
  /** True while no new requests are taken. */
  readonly draining?: () => boolean
}

const isFunction = (value: unknown): boolean => typeof value === 'function'
/** A name or an address as a Host header has it, an IPv6 one in brackets; without the port. */
const HOST = /^(?:\[[\da-f:.]+\]|[^\s:/[\]]+)$/i
const isTexts = (value: unknown): boolean =>
  Array.isArray(value) && value.every(item => typeof item === 'string')

/** Every option, what it has to be, and that in words. */
const KINDS: {
  readonly [option in keyof Required<HandlerOptions>]: readonly [(value: unknown) => boolean, string]
} = {
  keys: [Array.isArray, 'an array of keys'],
  authenticate: [isFunction, 'a function'],
  open: [value => typeof value === 'boolean', 'true or false'],
  limits: [value => typeof value === 'object' && value !== null && !Array.isArray(value), 'an object'],
  backupFolder: [value => typeof value === 'string' && value !== '', 'a path'],
  routes: [isFunction, 'a function'],
  onAnswer: [isFunction, 'a function'],
  hosts: [
    value => isTexts(value) && (value as string[]).every(name => HOST.test(name)),
    "an array of names without ports, such as ['drift.example', '[::1]']",
  ],
  origins: [isTexts, 'an array of origins'],
  draining: [isFunction, 'a function'],
}

export const HANDLER_KEYS = Object.fromEntries(Object.keys(KINDS).map(option => [option, true])) as Record<
  keyof HandlerOptions,
  true
>
/** Fastify gives a plugin its own options too. */
const PLUGIN_KEYS: Record<keyof PluginOptions, true> = {
  ...HANDLER_KEYS,
  db: true,
  ...{ prefix: true, logLevel: true, logSerializers: true },
}

export interface PluginOptions extends HandlerOptions {
  readonly db: Drift
}

export interface AnswerEntry {
  readonly requestId: string
  readonly method: string
  /** The pattern, not the URL: ids are data. */
  readonly route: string
  readonly collection: string | undefined
  readonly status: number
  readonly ms: number
  /** The key's name. */
  readonly caller: string | undefined
  /** Of the error that was answered or that cut the answer; DRIFT_CANCELLED when the client went away, DRIFT_DRAINING when the server did. */
  readonly code: string | undefined
  /** True: the answer had begun, with `status`, and ended before its end. */
  readonly cut: true | undefined
}

/** Who is let in, and what they may take of the machine. */
export interface Parsed {
  /** Undefined: everyone is. */
  readonly authenticate: Authenticate | undefined
  /** By keys of ours, which nobody guesses. */
  readonly keyed: boolean
  readonly limits: Limits
}

/** @throws HttpError DRIFT_OPTION, DRIFT_UNKNOWN_OPTION, and DRIFT_INSECURE when nobody said who may come in. */
export function parseOptions(options: HandlerOptions): Parsed {
  for (const [option, [fits, expected]] of Object.entries(KINDS)) {
    const value: unknown = options[option as keyof HandlerOptions]
    if (value === undefined || fits(value)) continue
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    const shown = isObject ? 'an object' : String(value)
    throw new HttpError('DRIFT_OPTION', `${option} is ${shown}, expected ${expected}`, { option })
  }
  const { keys, authenticate, open, origins = [], limits } = options
  const given = [keys, authenticate, open || undefined].filter(way => way !== undefined)
  if (given.length !== 1) {
    throw new HttpError(
      'DRIFT_INSECURE',
      'give one of keys, authenticate and open: true, to say who may do what',
    )
  }
  assertOrigins(origins)
  return {
    authenticate: keys ? authenticator(keys) : authenticate,
    keyed: keys !== undefined,
    limits: parseLimits(limits),
  }
}

/** The options of `createHandler` and of the plugin. @throws HttpError as `parseOptions` */
export function parsePlugin(options: PluginOptions, where: string): Parsed {
  assertKnown(options, PLUGIN_KEYS, where)
  const { db, ...handler } = options
  if (typeof (db as Partial<Drift> | undefined)?.collection === 'function') return parseOptions(handler)
  throw new HttpError('DRIFT_OPTION', `db is ${String(db)}, expected an open database`, { option: 'db' })
}
