/** Collections: list, create, look, drop. */
import { type CollectionDoor, feature } from '../engine-door.js'
import type { HttpError } from '../errors.js'
import {
  CollectionBody,
  CollectionInfo,
  CollectionList,
  CollectionReport,
  Done,
  Dropped,
  IndexBody,
  IndexDropBody,
  StatsQuery,
} from '../schema.js'
import type { Route } from './route.js'
import { jsonSafe } from './search.js'

const info = async (collection: CollectionDoor, name: string): Promise<object> => ({
  name,
  dim: collection.dim,
  metric: collection.metric,
  rows: await collection.count(),
})

const GONE: readonly string[] = ['DRIFT_NO_COLLECTION', 'DRIFT_DROPPED']
const notes = { name: 'notes', dim: 4, metric: 'l2', rows: 2 }
const notesReport = {
  ...notes,
  cold: 'resident',
  quantizer: 'auto',
  buckets: 0,
  segments: 0,
  unflushedRows: 2,
  diskBytes: 0,
  diskRows: 0,
  memory: { vectors: 4096, payloads: 64 },
  recall: [],
  indexes: { lang: 'keyword' },
}

export const collectionRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/collections',
    operation: 'listCollections',
    summary: 'The collections that the caller may see',
    scope: 'read',
    cost: 'light',
    answer: CollectionList,
    example: { answer: { collections: [notes] } },
    async run(call) {
      const { db } = call
      const collections: object[] = []
      for (const stored of db.collections()) {
        const name = call.visibleName(stored)
        if (name === undefined) continue
        try {
          collections.push(await info(await db.collection(stored), name))
        } catch (error) {
          // Dropped since the list was made.
          if (!GONE.includes((error as HttpError).code)) throw error
        }
      }
      return { collections }
    },
  },
  {
    method: 'PUT',
    path: '/collections/:name',
    operation: 'createCollection',
    summary: 'Create a collection, or check that the one of this name agrees',
    scope: 'admin',
    cost: 'write',
    writes: true,
    body: CollectionBody,
    answer: CollectionInfo,
    example: { body: { dim: 4, metric: 'l2' }, answer: { ...notes, rows: 0 } },
    async run(call) {
      const { body, params } = call
      return info(await call.collection(body as Record<string, unknown>), params['name']!)
    },
  },
  {
    method: 'GET',
    path: '/collections/:name',
    operation: 'getCollection',
    summary: 'Dimensions, metric and rows',
    scope: 'read',
    cost: 'light',
    answer: CollectionInfo,
    example: { answer: notes },
    async run(call) {
      const { params } = call
      return info(await call.collection(), params['name']!)
    },
  },
  {
    method: 'DELETE',
    path: '/collections/:name',
    operation: 'dropCollection',
    summary: 'Remove a collection and its rows for good',
    scope: 'admin',
    cost: 'write',
    writes: true,
    answer: Dropped,
    example: { answer: { dropped: true } },
    async run(call) {
      const { db, params } = call
      return { dropped: await db.drop(call.storedName(params['name']!)) }
    },
  },
  {
    method: 'GET',
    path: '/collections/:name/stats',
    operation: 'collectionStats',
    summary:
      'Rows, buckets, segments, bytes on disk and in memory; with ?buckets=true how each bucket is filled',
    scope: 'read',
    cost: 'light',
    query: StatsQuery,
    answer: CollectionReport,
    example: { answer: notesReport },
    async run(call) {
      const { params, query } = call
      const asked = query['buckets'] === undefined ? undefined : { buckets: query['buckets'] === 'true' }
      return jsonSafe({ ...(await (await call.collection()).stats(asked)), name: params['name'] })
    },
  },
  {
    method: 'POST',
    path: '/collections/:name/indexes',
    operation: 'createIndex',
    summary: 'Index a path of the payloads for filters',
    scope: 'admin',
    cost: 'long',
    writes: true,
    body: IndexBody,
    answer: Done,
    example: { body: { path: 'lang', type: 'keyword' }, answer: { done: true } },
    async run(call) {
      const { body } = call
      const { path, type } = body as { path: string; type: string }
      await feature(await call.collection(), 'createIndex')(path, type)
      return { done: true }
    },
  },
  {
    method: 'POST',
    path: '/collections/:name/indexes/drop',
    operation: 'dropIndex',
    summary: 'Remove the index of a path',
    scope: 'admin',
    cost: 'write',
    writes: true,
    body: IndexDropBody,
    answer: Done,
    example: { body: { path: 'lang' }, answer: { done: true } },
    async run(call) {
      const { body } = call
      await feature(await call.collection(), 'dropIndex')((body as { path: string }).path)
      return { done: true }
    },
  },
]
