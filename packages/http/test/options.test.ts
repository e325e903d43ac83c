// Proves: what a host gives is checked when it is given, by type and by name, and a server that does not start leaves the folder free.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Drift } from '@drift/server'
import Fastify from 'fastify'
import { describe, expect, it } from 'vitest'
import { createHandler, createKey, driftPlugin, type HandlerOptions, serve } from '../src/index.js'
import { started, temporaryFolder } from './fixture.js'

const { hash } = createKey()
const key = { id: 'k', hash, scope: 'read' }

const WRONG: readonly (readonly [title: string, options: object, code: string])[] = [
  ['a key whose collections are misspelt', { keys: [{ ...key, collection: ['a'] }] }, 'DRIFT_UNKNOWN_OPTION'],
  ['a key that is none', { keys: [null] }, 'DRIFT_OPTION'],
  ['a scope that objects have', { keys: [{ ...key, scope: 'toString' }] }, 'DRIFT_OPTION'],
  ['keys that are no array', { keys: 5 }, 'DRIFT_OPTION'],
  ['limits that are no object', { open: true, limits: 5 }, 'DRIFT_OPTION'],
  ['a limit that objects have', { open: true, limits: { constructor: 1 } }, 'DRIFT_UNKNOWN_OPTION'],
  ['hosts as text', { open: true, hosts: 'localhost' }, 'DRIFT_OPTION'],
  ['a host with its port', { open: true, hosts: ['drift.example:7700'] }, 'DRIFT_OPTION'],
  ['a host that is empty', { open: true, hosts: [''] }, 'DRIFT_OPTION'],
  ['an address of a host without brackets', { open: true, hosts: ['::1'] }, 'DRIFT_OPTION'],
  ['a URL as a host', { open: true, hosts: ['https://drift.example'] }, 'DRIFT_OPTION'],
  ['origins as text', { open: true, origins: 'https://app.example.com' }, 'DRIFT_OPTION'],
  ['authenticate that is no function', { authenticate: true }, 'DRIFT_OPTION'],
  ['an option that nobody knows', { open: true, limit: { rows: 1 } }, 'DRIFT_UNKNOWN_OPTION'],
]

describe('options that cannot be', () => {
  it.each(WRONG)('%s: refused by the handler and the plugin', async (_, options, code) => {
    await using db = await Drift.open(':memory:')
    expect(() => createHandler(db, options as HandlerOptions)).toThrow(expect.objectContaining({ code }))
    const app = Fastify()
    const registered = app.register(driftPlugin, { ...(options as HandlerOptions), db, prefix: '/drift' })
    await expect((async () => void (await registered))()).rejects.toMatchObject({ code })
  })

  it('no database: said so, by both', async () => {
    const refused = { code: 'DRIFT_OPTION', details: { option: 'db' } }
    expect(() => createHandler(undefined as never, { open: true })).toThrow(expect.objectContaining(refused))
  })

  it.each([
    ['a certificate that is not there', { tls: { certFile: '/nowhere', keyFile: '/nowhere' } }],
    ['a negative time', { timeouts: { requestMs: -1 } }],
    ['a time that is none', { timeouts: { idleMs: Number.NaN } }],
    ['headers that may take longer than the request', { timeouts: { headersMs: 2, requestMs: 1 } }],
    ['a level that the log does not have', { logger: { level: 'loud' } }],
    ['keys that are none', { keys: [{}] }],
  ])('%s: the server does not start, and the folder is free', async (title, options) => {
    const folder = temporaryFolder()
    const starting = serve({ db: folder, port: 0, logger: false, ...(options as object) })
    // The log's own words are not ours.
    if (title.includes('log')) await expect(starting).rejects.toThrow('loud')
    else await expect(starting).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
    await (await Drift.open(folder)).close()
  })

  it('a port that another has: the server does not start, and makes no database', async () => {
    const other = await started()
    const folder = join(temporaryFolder(), 'db')
    const starting = serve({ db: folder, port: other.port, logger: false })
    await expect(starting).rejects.toMatchObject({ code: 'EADDRINUSE', port: other.port })
    expect(existsSync(folder)).toBe(false)
  })
})
