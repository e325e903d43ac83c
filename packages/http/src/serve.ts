/**
 * serve: a server of its own. Rule: what can be reached from other machines needs keys and TLS, unless the caller says
 * in so many words that it does not.
 */
import { once } from 'node:events'
import { accessSync, constants, lstatSync, readFileSync, statSync } from 'node:fs'
import type { Server, ServerOptions } from 'node:http'
import { type AddressInfo, createServer, isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { Drift, type OpenOptions } from '@drift/server'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import { HttpError } from './errors.js'
import { createApp } from './handler.js'
import { assertKnown } from './known.js'
import { HANDLER_KEYS, type HandlerOptions, parseOptions } from './options.js'

export interface ServeOptions extends Omit<HandlerOptions, 'open' | 'draining'> {
  /** An open database, which stays open; or a path, which is opened and closed again. */
  readonly db: Drift | string
  readonly open?: OpenOptions
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 7700; 0 takes a free one. */
  readonly port?: number
  /** Files in PEM. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string }
  /** Keys go over the wire in plain text: a proxy in front does TLS. */
  readonly insecurePlaintext?: boolean
  /** Everyone who reaches the server may do everything. */
  readonly insecureNoKeys?: boolean
  /** pino options, or false. Default: level info to stdout. */
  readonly logger?: FastifyServerOptions['logger']
  readonly timeouts?: Partial<Timeouts>
}

export interface Timeouts {
  /** For the headers of a request. */
  readonly headersMs: number
  /** For a whole request. */
  readonly requestMs: number
  /** How often the two are looked after. */
  readonly checkMs: number
  /** A connection on which nothing happens. */
  readonly idleMs: number
}

export interface DriftServer {
  readonly db: Drift
  /** http://host:port */
  readonly url: string
  readonly port: number
  /** Take no new requests, finish those under way for at most `graceMs` (default 20 000), close the database. Idempotent. */
  readonly close: (options?: { readonly graceMs?: number }) => Promise<void>
}

const TIMEOUTS: Timeouts = { headersMs: 10_000, requestMs: 60_000, checkMs: 1_000, idleMs: 65_000 }
const TIMEOUT_KEYS: Record<keyof Timeouts, true> = {
  headersMs: true,
  requestMs: true,
  checkMs: true,
  idleMs: true,
}
const DEFAULT_PORT = 7700
const MAX_PORT = 65_535
const GRACE_MS = 20_000
/** The longest that Node's timers take. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1
const KEEP_ALIVE_MS = 5_000
const MAX_CONNECTIONS = 1_024
const MAX_HEADER_BYTES = 16 * 1024
const MAX_REQUESTS_PER_SOCKET = 10_000
const LOOPBACK_HOSTS = ['localhost', '127.0.0.1', '[::1]']

const { draining: _, ...HOST_KEYS } = HANDLER_KEYS
const SERVE_KEYS: Record<keyof ServeOptions, true> = {
  ...HOST_KEYS,
  db: true,
  host: true,
  port: true,
  tls: true,
  insecurePlaintext: true,
  insecureNoKeys: true,
  logger: true,
  timeouts: true,
}

/** @throws HttpError DRIFT_INSECURE, DRIFT_OPTION, DRIFT_UNKNOWN_OPTION; what `Drift.open` throws; the system's error when the port is taken. */
export async function serve(options: ServeOptions): Promise<DriftServer> {
  assertKnown(options, SERVE_KEYS, 'serve')
  const {
    host = '127.0.0.1',
    port = DEFAULT_PORT,
    tls,
    timeouts,
    logger = { level: 'info' },
    db: given,
  } = options
  const { authenticate, keys, limits, backupFolder, routes, onAnswer, hosts, origins } = options
  if (typeof given !== 'string' && (typeof given !== 'object' || given === null)) {
    throw new HttpError('DRIFT_OPTION', `db is ${String(given)}, expected a path or an open database`, {
      option: 'db',
    })
  }
  if (!Number.isInteger(port) || port < 0 || port > MAX_PORT) {
    throw new HttpError('DRIFT_OPTION', `port is ${port}, expected an integer from 0 to ${MAX_PORT}`, {
      option: 'port',
    })
  }
  if (typeof host !== 'string') {
    throw new HttpError('DRIFT_OPTION', `host is ${String(host)}, expected an address`, { option: 'host' })
  }
  const times = parseTimeouts(timeouts)
  const secure = tls && parseTls(tls)
  assertSafe(options, host)
  const locked = keys !== undefined || authenticate !== undefined
  let draining = false
  const handler: HandlerOptions = {
    ...defined({ authenticate, keys, limits, backupFolder, routes, onAnswer, origins }),
    ...(locked ? {} : { open: true }),
    // Without keys the name is what tells a page of another site from a program of this machine.
    ...(locked || options.insecureNoKeys ? defined({ hosts }) : { hosts: hosts ?? LOOPBACK_HOSTS }),
    draining: () => draining,
  }
  // All of it is checked before the folder is opened, which takes its lock.
  parseOptions(handler)
  const http: ServerOptions = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: times.headersMs,
    requestTimeout: times.requestMs,
    connectionsCheckingInterval: times.checkMs,
  }
  const owned = typeof given === 'string'
  if (backupFolder !== undefined) assertMakeable(backupFolder)
  // Opening may take long, makes a folder and takes its lock: not for a port that others have.
  if (owned) await assertFree(host, port)
  const db = owned ? await Drift.open(given, options.open) : given
  let app: FastifyInstance | undefined
  try {
    app = createApp(db, handler, {
      logger,
      requestTimeout: times.requestMs,
      connectionTimeout: times.idleMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxRequestsPerSocket: MAX_REQUESTS_PER_SOCKET,
      forceCloseConnections: 'idle',
      ...(secure ? { https: { ...http, ...secure } } : { http }),
    } as FastifyServerOptions)
    await app.listen({ host, port })
  } catch (error) {
    await app?.close()
    if (owned) await db.close()
    throw error
  }
  const listening = app
  const server = listening.server as Server
  server.maxConnections = MAX_CONNECTIONS

  let closing: Promise<void> | undefined
  const close = async (graceMs: number): Promise<void> => {
    draining = true
    const timer = setTimeout(() => server.closeAllConnections(), graceMs)
    try {
      await listening.close()
    } finally {
      clearTimeout(timer)
      if (owned) await db.close()
    }
  }
  const address = server.address() as AddressInfo
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return {
    db,
    url: `${tls ? 'https' : 'http'}://${name}:${address.port}`,
    port: address.port,
    close: ({ graceMs = GRACE_MS } = {}) => {
      closing ??= close(graceMs)
      return closing
    },
  }
}

/** On SIGTERM and SIGINT the server drains and the process ends with 0; on the second one it ends at once with 1. */
export function closeOnSignals(
  server: DriftServer,
  ended: (error?: unknown) => void = () => undefined,
): void {
  let asked = false
  const stop = (): void => {
    if (asked) process.exit(1)
    asked = true
    server.close().then(
      () => {
        ended()
        process.exit(0)
      },
      error => {
        ended(error)
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}

/** @throws HttpError DRIFT_UNKNOWN_OPTION, DRIFT_OPTION */
function parseTimeouts(given: Partial<Timeouts> = {}): Timeouts {
  assertKnown(given, TIMEOUT_KEYS, 'timeouts')
  const times = { ...TIMEOUTS, ...given }
  for (const [option, ms] of Object.entries(times)) {
    if (Number.isInteger(ms) && ms > 0 && ms <= MAX_TIMEOUT_MS) continue
    throw new HttpError('DRIFT_OPTION', `timeout ${option} is ${ms}, expected milliseconds, above 0`, {
      option,
    })
  }
  if (times.headersMs <= times.requestMs) return times
  throw new HttpError(
    'DRIFT_OPTION',
    `timeout headersMs is ${times.headersMs}, more than requestMs: ${times.requestMs}`,
    { option: 'headersMs' },
  )
}

/** @throws HttpError DRIFT_OPTION for files that are not there, or no certificate and its key. */
function parseTls(given: NonNullable<ServeOptions['tls']>): SecureContextOptions {
  assertKnown(given, { certFile: true, keyFile: true }, 'tls')
  try {
    const options = {
      cert: readFileSync(given.certFile),
      key: readFileSync(given.keyFile),
      minVersion: 'TLSv1.2',
    } as const
    createSecureContext(options)
    return options
  } catch (cause) {
    throw new HttpError('DRIFT_OPTION', `tls: ${(cause as Error).message}`, { option: 'tls' }, { cause })
  }
}

/** It is made by the first backup, which may be the one before a loss. @throws HttpError DRIFT_OPTION */
function assertMakeable(backupFolder: string): void {
  let known = resolve(backupFolder)
  try {
    // A link that leads nowhere is there too, and nothing can be made under its name.
    while (!lstatSync(known, { throwIfNoEntry: false }) && known !== dirname(known)) known = dirname(known)
    if (!statSync(known).isDirectory()) throw new Error(`${known} is no folder`)
    accessSync(known, constants.W_OK | constants.X_OK)
  } catch (cause) {
    const message = `backupFolder is ${backupFolder}, which cannot be written: ${(cause as Error).message}`
    throw new HttpError('DRIFT_OPTION', message, { option: 'backupFolder' }, { cause })
  }
}

function assertSafe(
  { keys, authenticate, tls, insecurePlaintext, insecureNoKeys }: ServeOptions,
  host: string,
): void {
  if (isLoopback(host)) return
  if (!keys && !authenticate && !insecureNoKeys) {
    throw new HttpError(
      'DRIFT_INSECURE',
      `${host} can be reached from other machines: give keys, or insecureNoKeys`,
      { host },
    )
  }
  if (!tls && !insecurePlaintext) {
    throw new HttpError(
      'DRIFT_INSECURE',
      `${host} can be reached from other machines: give tls, or insecurePlaintext`,
      { host },
    )
  }
}

/** @throws the system's error. */
async function assertFree(host: string, port: number): Promise<void> {
  const probe = createServer().listen({ host, port })
  await once(probe, 'listening')
  probe.close()
  await once(probe, 'close')
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

function defined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never
}
