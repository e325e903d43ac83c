/** Looking after a database: what it holds, flush, compact, maintain, back up, verify. */
import { join } from 'node:path'
import { allows, assertSeesAll, seesAll } from '../auth.js'
import { feature } from '../engine-door.js'
import { HttpError } from '../errors.js'
import {
  BackedUp,
  BackupBody,
  CheckAnswer,
  DatabaseStats,
  Done,
  Healed,
  MaintainBody,
  Report,
} from '../schema.js'
import type { Route } from './route.js'
import { jsonSafe } from './search.js'

export const operationRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/stats',
    operation: 'stats',
    summary: 'State, log and the collections that the caller may see',
    scope: 'read',
    cost: 'light',
    answer: DatabaseStats,
    example: {
      answer: {
        state: 'open',
        failing: false,
        disk: { state: 'open', freeBytes: 1e11, minFreeBytes: 268_435_456, reserveBytes: 268_435_456 },
        collections: [],
        maintenance: { paused: false, pausedMs: 0, lateSearches: 0, maxSearchWaitMs: 5 },
        wal: { files: 1, bytes: 65_536, pendingBytes: 0, durableLsn: 3 },
        manifest: 2,
        pageCache: { maxBytes: 67_108_864, bytes: 0, hits: 0, misses: 0 },
      },
    },
    async run(call) {
      const { db, principal } = call
      const { path: _, lastError, recovery, collections, ...stats } = await db.stats()
      const visible = collections.flatMap(entry => {
        const name = call.visibleName(entry.name)
        return name === undefined ? [] : [{ ...entry, name }]
      })
      const failing = lastError !== undefined
      // They may name files, and collections of others.
      const isTold = allows(principal, 'admin') && seesAll(principal)
      const told = isTold ? { recovery, ...(failing ? { lastError } : {}) } : {}
      return jsonSafe({ ...stats, failing, ...told, collections: visible })
    },
  },
  {
    method: 'POST',
    path: '/sync',
    operation: 'sync',
    summary: 'Every write before is on stable storage when answered, whatever the sync mode',
    scope: 'write',
    cost: 'write',
    answer: Done,
    example: { answer: { done: true } },
    async run({ db }) {
      await db.sync()
      return { done: true }
    },
  },
  {
    method: 'POST',
    path: '/backups',
    operation: 'backup',
    summary: "Copy the database into a folder of this name below the server's backup folder",
    scope: 'admin',
    cost: 'long',
    writes: true,
    body: BackupBody,
    answer: BackedUp,
    example: { body: { name: 'monday' }, answer: { name: 'monday' } },
    async run({ db, body, backupFolder, principal }) {
      const backup = feature(db, 'backup')
      assertSeesAll(principal, 'a backup holds every collection')
      if (backupFolder === undefined) {
        throw new HttpError('DRIFT_NOT_IMPLEMENTED', 'this server has no backup folder; start it with one')
      }
      const { name } = body as { name: string }
      try {
        await backup(join(backupFolder, name))
      } catch (error) {
        // In the engine's words it is a path of this machine's.
        const { code } = error as HttpError
        if (code === 'DRIFT_BACKUP_EXISTS')
          throw new HttpError(code, `there is a backup '${name}'`, { name }, { cause: error })
        if (code !== 'DRIFT_PATH') throw error
        throw new HttpError(
          'DRIFT_NAME',
          `below this server's backup folder no backup can be called '${name}'`,
          { name },
          { cause: error },
        )
      }
      return { name }
    },
  },
  {
    method: 'POST',
    path: '/check',
    operation: 'check',
    summary: 'Verify every file of the database',
    scope: 'admin',
    cost: 'long',
    answer: CheckAnswer,
    example: { answer: { ok: true, files: 4, bytes: 4_195_208, findings: [] } },
    async run({ db, signal, principal }) {
      const check = feature(db, 'check')
      assertSeesAll(principal, 'a check reads every collection')
      return jsonSafe(await check({ signal }))
    },
  },
  {
    method: 'POST',
    path: '/collections/:name/flush',
    operation: 'flush',
    summary: 'Write rows that are only in the log to a segment; not needed for durability',
    scope: 'write',
    cost: 'long',
    writes: true,
    answer: Done,
    example: { answer: { done: true } },
    async run(call) {
      await (await call.collection()).flush()
      return { done: true }
    },
  },
  {
    method: 'POST',
    path: '/collections/:name/compact',
    operation: 'compact',
    summary: 'Merge segments and give back the space of dead rows',
    scope: 'admin',
    cost: 'long',
    writes: true,
    answer: Report,
    example: { answer: {} },
    async run(call) {
      return jsonSafe(await feature(await call.collection(), 'compact')())
    },
  },
  {
    method: 'POST',
    path: '/collections/:name/maintain',
    operation: 'maintain',
    summary: 'Do now what is otherwise done in the background: bring rows and buckets together',
    scope: 'admin',
    cost: 'long',
    writes: true,
    body: MaintainBody,
    bodyOptional: true,
    answer: Healed,
    example: { body: {}, answer: { operations: 0, moves: 0, seconds: 0, kinds: {} } },
    async run(call) {
      const asked = (call.body ?? {}) as { budget?: number; policy?: string }
      return jsonSafe(await (await call.collection()).maintain(asked))
    },
  },
]
