/**
 * The door: `connect(url)` where an embedded program says `Drift.open(path)`; what follows is the same code.
 */
import { type CollectionInfo, DONE, RemoteCollection } from './collection.js'
import { ClientError } from './errors.js'
import { optionsOf } from './given.js'
import type { CallOptions, CollectionOptions, DriftStats, Payload } from './rows.js'
import { type ConnectOptions, Transport } from './transport.js'

/**
 * A server's database. Asks the server once whether it is there and takes the key.
 *
 * @param url - where the server listens, without /v1: `http://127.0.0.1:7700`.
 * @throws ClientError DRIFT_URL, DRIFT_UNREACHABLE, DRIFT_UNAUTHORIZED
 */
export async function connect(url: string, options?: ConnectOptions): Promise<RemoteDrift> {
  const db = new RemoteDrift(new Transport(url, options))
  await db.collections()
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
    const info = await this.#transport.json<CollectionInfo>(
      creates ? { method: 'PUT', path, body, writes: true, has } : { method: 'GET', path, has },
    )
    return new RemoteCollection<P>(this.#transport, info)
  }

  async collections(): Promise<string[]> {
    const { collections } = await this.#transport.json<{ collections: CollectionInfo[] }>({
      method: 'GET',
      path: '/collections',
      has: ['collections', Array.isArray],
    })
    return collections.map(({ name }) => name)
  }

  /** @returns false when there is none of this name. */
  async drop(name: string): Promise<boolean> {
    const path = collectionPath(name)
    const { dropped } = await this.#transport.json<{ dropped: boolean }>({
      method: 'DELETE',
      path,
      writes: true,
      has: ['dropped', value => typeof value === 'boolean'],
    })
    return dropped
  }

  async sync(): Promise<void> {
    await this.#transport.json({ method: 'POST', path: '/sync', has: DONE })
  }

  async stats(): Promise<DriftStats> {
    return this.#transport.json({ method: 'GET', path: '/stats', has: ['collections', Array.isArray] })
  }

  /** @param name - of the backup below the server's backup folder; the embedded `backup` takes a folder here. */
  async backup(name: string, options?: CallOptions): Promise<unknown> {
    const { signal } = optionsOf(options, 'backup', { signal: true })
    const call = { method: 'POST', path: '/backups', body: { name } } as const
    return this.#transport.json({ ...call, writes: true, slow: true, signal })
  }

  /** Verify the files of the server's database. */
  async check(options?: CallOptions): Promise<unknown> {
    const { signal } = optionsOf(options, 'check', { signal: true })
    return this.#transport.json({ method: 'POST', path: '/check', slow: true, signal })
  }

  /** Nothing to give back; calls through this handle are refused from then on. */
  async close(): Promise<void> {
    this.#transport.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

function collectionPath(name: string): string {
  // '.' and '..' would be taken out of a URL before it is sent.
  if (typeof name !== 'string' || !/^[^./\\].*$/s.test(name)) {
    throw new ClientError('DRIFT_NAME', `collection name ${JSON.stringify(name)} is refused: it is no name`)
  }
  return `/collections/${encodeURIComponent(name)}`
}
