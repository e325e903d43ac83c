/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The door: `connect(url)` where an embedded program says `Drift.open(path)`; what follows is the same code.
 */
import { CALL_KEYS, type CollectionInfo, DONE, RemoteCollection } from './collection.js'
import { ClientError } from './errors.js'
import { isPlain, optionsOf } from './given.js'
import type {
  CallOptions,
  CheckReport,
  CollectionOptions,
  DriftStats,
  Payload,
  RecoveryLoss,
} from './rows.js'
import { type ConnectOptions, Transport } from './transport.js'
import { idFromJson } from './wire.js'

/**
 * A server's database. Asks the server once whether it is there and takes the key.
 *
 * @param url - where the server listens, without /v1: `http://127.0.0.1:7700`.
 * @throws ClientError DRIFT_URL, DRIFT_UNREACHABLE, DRIFT_UNAUTHORIZED
 */
export async function connect(url: string, options?: ConnectOptions): Promise<RemoteDrift> {
  const db = new RemoteDrift(new Transport(url, options))
  try {
    await db.collections(options?.signal ? { signal: options.signal } : {})
  } catch (error) {
    throw (error as Partial<ClientError>).status === 404 ? elsewhere(error as ClientError, db.path) : error
  }
  return db
}

export class RemoteDrift {
  readonly #transport: Transport

  /** Made by `connect`. */
  constructor(transport: Transport) {
    this.#transport = transport
  }

  get path(): string {
    return this.#transport.url
  }

  /** The collection of this name; options that are given create it (which takes the scope `admin`), or have to agree. */
  async collection<P extends object = Payload>(
    name: string,
    options?: CollectionOptions,
  ): Promise<RemoteCollection<P>> {
    const path = collectionPath(name)
    const body = optionsOf(options, 'collection')
    const has = ['dim', Number.isInteger] as const
    const creates = Object.values(body).some(value => value !== undefined)
    try {
      const info = await this.#transport.json<CollectionInfo>(
        creates ? { method: 'PUT', path, body, writes: true, has } : { method: 'GET', path, has },
      )
      return new RemoteCollection<P>(this.#transport, info)
    } catch (error) {
      if (!creates || (error as Partial<ClientError>).code !== 'DRIFT_FORBIDDEN') throw error
      throw hinted(error as ClientError, 'without options, a collection that is there is opened with any key')
    }
  }

  async collections(options?: CallOptions): Promise<string[]> {
    const { signal } = optionsOf(options, 'collections', CALL_KEYS)
    const { collections } = await this.#transport.json<{ collections: CollectionInfo[] }>({
      method: 'GET',
      path: '/collections',
      has: ['collections', Array.isArray],
      signal,
    })
    return collections.map(({ name }) => name)
  }

  /** @returns false when there is none of this name. */
  async drop(name: string, options?: CallOptions): Promise<boolean> {
    const path = collectionPath(name)
    const { signal } = optionsOf(options, 'drop', CALL_KEYS)
    const { dropped } = await this.#transport.json<{ dropped: boolean }>({
      method: 'DELETE',
      path,
      writes: true,
      has: ['dropped', value => typeof value === 'boolean'],
      signal,
    })
    return dropped
  }

  async sync(options?: CallOptions): Promise<void> {
    const { signal } = optionsOf(options, 'sync', CALL_KEYS)
    await this.#transport.json({ method: 'POST', path: '/sync', has: DONE, signal })
  }

  async stats(options?: CallOptions): Promise<DriftStats> {
    const { signal } = optionsOf(options, 'stats', CALL_KEYS)
    return asEmbedded(
      await this.#transport.json<DriftStats>({
        method: 'GET',
        path: '/stats',
        has: ['disk', isPlain],
        signal,
      }),
    )
  }

  /** @param name - of the backup below the server's backup folder; the embedded `backup` takes a folder here. */
  async backup(name: string, options?: CallOptions): Promise<{ readonly name: string }> {
    const { signal } = optionsOf(options, 'backup', CALL_KEYS)
    const call = { method: 'POST', path: '/backups', body: { name } } as const
    const has = ['name', (value: unknown) => value === name] as const
    return this.#transport.json({ ...call, writes: true, slow: true, has, signal })
  }

  /** Verify the files of the server's database. */
  async check(options?: CallOptions): Promise<CheckReport> {
    const { signal } = optionsOf(options, 'check', CALL_KEYS)
    const has = ['findings', Array.isArray] as const
    return this.#transport.json({ method: 'POST', path: '/check', slow: true, has, signal })
  }

  /** Nothing to give back; calls through this handle are refused from then on. */
  async close(): Promise<void> {
    this.#transport.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** JSON has neither Infinity, which is null there, nor bigints. */
function asEmbedded(stats: DriftStats): DriftStats {
  const { disk, maintenance, recovery } = stats
  const orEndless = (value: number | null): number => value ?? Number.POSITIVE_INFINITY
  return {
    ...stats,
    disk: { ...disk, freeBytes: orEndless(disk.freeBytes) },
    maintenance: { ...maintenance, maxSearchWaitMs: orEndless(maintenance.maxSearchWaitMs) },
    ...(recovery ? { recovery: { ...recovery, losses: recovery.losses.map(withIds) } } : {}),
  }
}

function withIds(loss: RecoveryLoss): RecoveryLoss {
  return loss.ids ? { ...loss, ids: loss.ids.map(idFromJson) } : loss
}

/** Something answers, and is no Drift server, or has its routes under another path. */
function elsewhere(error: ClientError, url: string): ClientError {
  const hint = url.endsWith('/v1')
    ? `give the URL without /v1: ${url.slice(0, -'/v1'.length)}`
    : `no Drift server has its routes under ${url}/v1; where they have a prefix, the URL ends with it`
  return hinted(error, hint)
}

function hinted(error: ClientError, hint: string): ClientError {
  const { code, message, details, status, requestId } = error
  const given = {
    ...(status === undefined ? {} : { status }),
    ...(requestId === undefined ? {} : { requestId }),
  }
  return new ClientError(code, `${message}; ${hint}`, details, { ...given, cause: error })
}

function collectionPath(name: string): string {
  // '.' and '..' would be taken out of a URL before it is sent.
  if (typeof name !== 'string' || !/^[^./\\].*$/s.test(name)) {
    throw new ClientError('DRIFT_NAME', `collection name ${JSON.stringify(name)} is refused: it is no name`)
  }
  return `/collections/${encodeURIComponent(name)}`
}
