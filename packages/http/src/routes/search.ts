/** The nearest rows: one query, many queries, and why an answer is what it is. */
import { encodeFrame, FRAME_TYPE, idToJson } from '@drift/client/wire'
import { type CollectionDoor, feature, type Hit, requireFilters } from '../engine-door.js'
import { HttpError } from '../errors.js'
import { within } from '../limits.js'
import {
  BatchHitsSchema,
  BatchSearchBody,
  Explained,
  Hits,
  SearchBody,
  SearchOptionsSchema,
  validator,
} from '../schema.js'
import { type Call, isFrame, type Route } from './route.js'

const DEFAULT_K = 10
const optionsMeta = validator(SearchOptionsSchema, 'meta')
const explained = {
  buckets: [{ bucket: 3, rank: 0, distance: 1, live: 60, expectedHits: 1 }],
  scannedBuckets: 1,
  scannedRows: 90,
  entries: 64,
  expectedRecall: 0.95,
  stop: 'recall',
  ms: { memtables: 0.01, buckets: 0.02, total: 0.03 },
}
const hit = { id: 'a', distance: 1, score: -1, payload: { lang: 'en' } }

export const searchRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/collections/:name/search',
    operation: 'search',
    summary: 'The k nearest rows, nearest first',
    scope: 'read',
    cost: 'search',
    body: SearchBody,
    frames: true,
    answer: Hits,
    example: { body: { query: [1, 2, 3, 5], k: 1, payload: true }, answer: { hits: [hit] } },
    async run(call) {
      const docs = await call.collection()
      const { query, options } = oneQuery(call, docs)
      const hits = await docs.search(query, isLong(options) ? { ...options, signal: call.signal } : options)
      return { hits: hits.map(jsonHit) }
    },
  },
  {
    method: 'POST',
    path: '/collections/:name/search/batch',
    operation: 'searchBatch',
    summary: 'Many queries on one state of the collection',
    scope: 'read',
    cost: 'search',
    body: BatchSearchBody,
    frames: true,
    answer: BatchHitsSchema,
    answers: [FRAME_TYPE],
    example: {
      body: { queries: [[1, 2, 3, 5]], k: 1 },
      answer: { k: 1, ids: [['a']], distances: [[1]] },
    },
    async run(call) {
      const docs = await call.collection()
      const { queries, count, options } = manyQueries(call, docs)
      const { limits } = call
      within(limits, 'queries', count)
      within(limits, 'hits', count * ((options['k'] as number | undefined) ?? DEFAULT_K))
      const found = await docs.searchBatch(queries, { ...options, signal: call.signal })
      const ids = found.ids.map(row => row.map(idToJson))
      if (call.accept.includes(FRAME_TYPE)) {
        call.reply.type(FRAME_TYPE)
        return Buffer.from(encodeFrame(ids.length, found.k, { ids }, found.distances).buffer)
      }
      const distances = ids.map((row, q) =>
        Array.from(found.distances.subarray(q * found.k, q * found.k + row.length)),
      )
      return { k: found.k, ids, distances }
    },
  },
  {
    method: 'POST',
    path: '/collections/:name/explain',
    operation: 'explain',
    summary: 'How a search with these options runs, and what it costs',
    scope: 'read',
    cost: 'search',
    body: SearchBody,
    frames: true,
    answer: Explained,
    example: { body: { query: [1, 2, 3, 5], k: 1 }, answer: explained },
    async run(call) {
      const docs = await call.collection()
      const explain = feature(docs, 'explain')
      const { query, options } = oneQuery(call, docs)
      return jsonSafe(await explain(query, { ...options, signal: call.signal }))
    },
  },
]

type Options = Readonly<Record<string, unknown>>

function oneQuery({ body, limits }: Call, docs: CollectionDoor): { query: Float32Array; options: Options } {
  if (!isFrame(body)) {
    const { query, ...options } = body as { query: number[] }
    return { query: new Float32Array(query), options: checked(options, limits, docs) }
  }
  if (body.rows !== 1)
    throw new HttpError('DRIFT_FRAME', `the frame has ${body.rows} rows, expected one query`)
  return { query: body.values, options: checked(optionsMeta(body.meta), limits, docs) }
}

function manyQueries(
  { body, limits }: Call,
  docs: CollectionDoor,
): { queries: Float32Array; count: number; options: Options } {
  if (isFrame(body)) {
    if (body.dim !== docs.dim) throw wrongLength(body.dim, docs.dim)
    return { queries: body.values, count: body.rows, options: checked(optionsMeta(body.meta), limits, docs) }
  }
  const { queries, ...options } = body as { queries: number[][] }
  const values = new Float32Array(queries.length * docs.dim)
  for (const [i, query] of queries.entries()) {
    if (query.length !== docs.dim) throw wrongLength(query.length, docs.dim)
    values.set(query, i * docs.dim)
  }
  return { queries: values, count: queries.length, options: checked(options, limits, docs) }
}

/** Any other search is over in the tick in which it begins, or in a millisecond of other threads: nobody could end it sooner. */
function isLong({ filter, radius }: Options): boolean {
  return filter !== undefined || radius !== undefined
}

function checked(options: Options, limits: Call['limits'], docs: CollectionDoor): Options {
  within(limits, 'k', options['k'])
  within(limits, 'ef', options['ef'])
  within(limits, 'ef', options['efSearch'])
  if (options['filter'] !== undefined) requireFilters(docs)
  return options
}

function wrongLength(length: number, dim: number): HttpError {
  return new HttpError('DRIFT_DIMENSION', `a query has ${length} values, expected ${dim}`, { length, dim })
}

function jsonHit(found: Hit): object {
  const { id, distance, score, payload } = found
  return typeof id === 'bigint' ? { id: idToJson(id), distance, score, payload } : found
}

/** Typed arrays as arrays and bigints as ids: what the engine explains is not ours to know. */
export function jsonSafe(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value ?? {}, (_, part: unknown) => {
      if (typeof part === 'bigint') return idToJson(part)
      return ArrayBuffer.isView(part) && !(part instanceof DataView) ? Array.from(part as Uint8Array) : part
    }),
  )
}
