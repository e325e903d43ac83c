/** A database by its path or by its URL: the same calls either way. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { CollectionOptions, RemoteCollection, RemoteDrift } from '@drift/client'
import type { Collection, Drift } from '@drift/server'
import { CliError } from './errors.js'

export type Rows = Collection | RemoteCollection

export interface Target {
  readonly db: Drift | RemoteDrift
  readonly remote: boolean
  collection(name: string, options?: CollectionOptions): Promise<Rows>
}

/**
 * What a command does to a folder. `read`: opened beside its writer, as of that moment. `write`: has to be there, so that
 * a mistyped path makes no database. `create`: made when it is not there.
 */
export type Access = 'read' | 'write' | 'create'

/** Runs `work` and gives the database back. The key of a server is taken from the environment, never from an argument. */
export async function withTarget<T>(
  where: string,
  access: Access,
  work: (target: Target) => Promise<T>,
): Promise<T> {
  const remote = isUrl(where)
  const db = remote ? await connectTo(where) : await openFolder(where, access)
  try {
    const collection = async (name: string, options?: CollectionOptions): Promise<Rows> => {
      try {
        return await (db as RemoteDrift).collection(name, options)
      } catch (error) {
        throw await withNames(error, name, where, db)
      }
    }
    return await work({ db, remote, collection })
  } finally {
    await db.close()
  }
}

/** Who asks for a collection that is not there is told which ones are. */
async function withNames(
  error: unknown,
  name: string,
  where: string,
  db: Drift | RemoteDrift,
): Promise<unknown> {
  const { code, details } = error as CliError
  if (code !== 'DRIFT_NO_COLLECTION') return error
  const names = await db.collections()
  const known = names.length > 0 ? `only ${names.join(', ')}` : 'nor any other'
  return new CliError(code, `there is no collection '${name}' in ${where}, ${known}`, details, {
    cause: error,
  })
}

export function isUrl(where: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(where)
}

export async function connectTo(url: string): Promise<RemoteDrift> {
  const { connect } = await import('@drift/client')
  const key = process.env['DRIFT_KEY']
  return connect(url, key === undefined ? {} : { key })
}

async function openFolder(where: string, access: Access): Promise<Drift> {
  if (access === 'write' && !existsSync(join(where, 'FORMAT'))) {
    throw new CliError('DRIFT_NO_DATABASE', `${resolve(where)} holds no database`, { path: resolve(where) })
  }
  const { Drift } = await import('@drift/server')
  if (access === 'read') return Drift.open(where, { readOnly: true })
  try {
    return await Drift.open(where)
  } catch (error) {
    const { code, message, details } = error as CliError
    if (code !== 'DRIFT_LOCKED') throw error
    const hint = 'when a server has it, give its URL in place of the folder'
    throw new CliError(code, `${message}; ${hint}`, details, { cause: error })
  }
}

/** A method that only one of the two kinds has. @throws CliError DRIFT_NOT_IMPLEMENTED */
export async function call(on: object, method: string, ...args: unknown[]): Promise<unknown> {
  const found = (on as Record<string, unknown>)[method]
  if (typeof found !== 'function') {
    throw new CliError('DRIFT_NOT_IMPLEMENTED', `there is no ${method} here`, { what: method })
  }
  return (found as (...given: unknown[]) => Promise<unknown>).apply(on, args)
}
