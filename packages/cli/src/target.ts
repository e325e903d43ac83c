/** A database by its path or by its URL: the same calls either way. */
import { type CollectionOptions, connect, type RemoteCollection, type RemoteDrift } from '@drift/client'
import { type Collection, Drift } from '@drift/server'
import { CliError } from './errors.js'

export type Rows = Collection | RemoteCollection

export interface Target {
  readonly db: Drift | RemoteDrift
  readonly remote: boolean
  collection(name: string, options?: CollectionOptions): Promise<Rows>
}

/** Runs `work` and gives the database back. The key of a server is taken from the environment, never from an argument. */
export async function withTarget<T>(where: string, work: (target: Target) => Promise<T>): Promise<T> {
  const remote = /^https?:\/\//.test(where)
  const key = process.env['DRIFT_KEY']
  const db = remote ? await connect(where, key === undefined ? {} : { key }) : await Drift.open(where)
  try {
    const collection = (name: string, options?: CollectionOptions): Promise<Rows> =>
      (db as RemoteDrift).collection(name, options)
    return await work({ db, remote, collection })
  } finally {
    await db.close()
  }
}

/** A method that not every engine has. @throws CliError DRIFT_NOT_IMPLEMENTED */
export async function call(on: object, method: string, ...args: unknown[]): Promise<unknown> {
  const found = (on as Record<string, unknown>)[method]
  if (typeof found !== 'function') {
    throw new CliError('DRIFT_NOT_IMPLEMENTED', `this engine has no ${method}`, { what: method })
  }
  return (found as (...given: unknown[]) => Promise<unknown>).apply(on, args)
}
