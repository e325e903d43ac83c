/** Rows: write, read, delete, count, and all of them as lines of JSON. */
import { pipeline, Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { ARROW_TYPE, type Frame, idFromJson, idToJson, NDJSON_TYPE } from '@drift/client/wire'
import { assertId } from '@drift/server'
import { type CollectionDoor, feature, type Id, requireFilters, type StoredRow } from '../engine-door.js'
import { HttpError } from '../errors.js'
import { within } from '../limits.js'
import {
  Count,
  CountBody,
  Deleted,
  GetBody,
  PatchBody,
  Patched,
  PointQuery,
  Rows,
  ScanBody,
  ScanLine,
  SelectBody,
  StoredRowSchema,
  UpsertBody,
  Upserted,
  UpsertMeta,
  validator,
} from '../schema.js'
import { type Call, isFrame, type Route } from './route.js'

/** Lines, and long lists of rows, are sent in parts of about this size. */
const CHUNK_CHARS = 64 * 1024
/** Rows by id that have so many values together are read at once: some 2 ms. Of more, neither the event loop nor memory waits for all. */
const SHORT_VALUES = 16_384
/** What a payload costs beside its vector, in values. */
const ROW_VALUES = 128
const ARROW_OPTIONS = ['filter', 'ordered', 'cursor']
const upsertMeta = validator(UpsertMeta, 'meta')

const row = { id: 'a', vector: [1, 2, 3, 4], payload: { lang: 'en' } }

export const pointRoutes: readonly Route[] = [
  {
    method: 'PUT',
    path: '/collections/:name/points',
    operation: 'upsert',
    summary:
      'Insert or replace rows: all of the batch or nothing, on disk when answered; Arrow rows 500 at a time, in order',
    scope: 'write',
    cost: 'write',
    writes: true,
    body: UpsertBody,
    frames: true,
    arrow: true,
    answer: Upserted,
    example: { body: { rows: [row] }, answer: { lsn: 4, durable: true, upserted: 1, replaced: 1 } },
    async run(call) {
      const { body, limits } = call
      const docs = await call.collection()
      if (Buffer.isBuffer(body)) return arrowUpsert(docs, body)
      const batch = isFrame(body) ? frameBatch(body, docs.dim) : jsonBatch(body as JsonUpsert)
      within(limits, 'rows', Array.isArray(batch) ? batch.length : (batch as { ids?: unknown[] }).ids?.length)
      return docs.upsert(batch)
    },
  },
  {
    method: 'GET',
    path: '/collections/:name/points/:id',
    operation: 'getPoint',
    summary: 'One row; its id is a string unless ?type=number or ?type=bigint',
    scope: 'read',
    cost: 'light',
    query: PointQuery,
    answer: StoredRowSchema,
    example: { answer: row },
    async run(call) {
      const { params, query } = call
      const found = await (await call.collection()).get(pathId(params['id']!, query['type']))
      if (!found) throw new HttpError('DRIFT_NO_POINT', 'there is no row with this id')
      return jsonRow(found)
    },
  },
  {
    method: 'POST',
    path: '/collections/:name/points/get',
    operation: 'getPoints',
    summary: 'Rows by id, in the order of the ids; null where there is none',
    scope: 'read',
    cost: 'light',
    body: GetBody,
    answer: Rows,
    example: { body: { ids: ['a', 'nobody'] }, answer: { rows: [row, null] } },
    async run(call) {
      const { body, limits } = call
      const { ids, vectors = true } = body as { ids: unknown[]; vectors?: boolean }
      within(limits, 'rows', ids.length)
      const docs = await call.collection()
      const wanted = ids.map(idFromJson)
      if (wanted.length * Math.max(docs.dim, ROW_VALUES) <= SHORT_VALUES) {
        const found = await docs.getMany(wanted, { vectors })
        return { rows: found.map(jsonRowOrNull) }
      }
      // What is no id is an error and not half an answer; and the first part is asked for here, as that may fail too.
      for (const id of wanted) assertId(id)
      const text = rowsText(docs, wanted, vectors)
      const first = await text.next()
      call.reply.type('application/json; charset=utf-8')
      return Readable.from(following(call, first, text), { objectMode: false, highWaterMark: CHUNK_CHARS })
    },
  },
  {
    method: 'POST',
    path: '/collections/:name/points/delete',
    operation: 'deletePoints',
    summary: 'Delete rows by id, or all that match a filter',
    scope: 'write',
    cost: 'write',
    writes: true,
    body: SelectBody,
    answer: Deleted,
    example: { body: { ids: ['a'] }, answer: { lsn: 4, durable: true, deleted: 1 } },
    async run(call) {
      const { body, limits } = call
      const docs = await call.collection()
      return docs.delete(selected(docs, body, limits))
    },
  },
  {
    method: 'PATCH',
    path: '/collections/:name/points',
    operation: 'updatePayload',
    summary: 'Change payloads of rows by id, or of all that match a filter',
    scope: 'write',
    cost: 'write',
    writes: true,
    body: PatchBody,
    answer: Patched,
    example: { body: { ids: ['a'], patch: { lang: 'de' } }, answer: { lsn: 4, durable: true, updated: 1 } },
    async run(call) {
      const { body, limits } = call
      const docs = await call.collection()
      const update = feature(docs, 'updatePayload')
      return update(selected(docs, body, limits), (body as { patch: object }).patch)
    },
  },
  {
    method: 'POST',
    path: '/collections/:name/scan',
    operation: 'scan',
    summary:
      'Every row, a line of JSON each, then { "end": true, "rows": n }, with a cursor when a limit cut it; without that line the answer was cut',
    scope: 'read',
    cost: 'long',
    body: ScanBody,
    bodyOptional: true,
    answer: ScanLine,
    answerType: NDJSON_TYPE,
    answers: [ARROW_TYPE],
    example: { body: {}, answer: row },
    async run(call) {
      const { body, accept, reply, signal } = call
      const docs = await call.collection()
      if (accept.includes(ARROW_TYPE)) return arrowScan(docs, call)
      const { vectors, ordered, ...rest } = (body ?? {}) as {
        vectors?: boolean
        ordered?: boolean
        filter?: unknown
      }
      if (ordered !== undefined) {
        const message = "'ordered' is of a scan as Arrow; lines are in order with a limit or a cursor"
        throw new HttpError('DRIFT_OPTION', message, { option: 'ordered' })
      }
      if (rest.filter !== undefined) requireFilters(docs)
      const rows = docs.scan({
        ...rest,
        ...(vectors === undefined ? {} : scanVectors(docs, vectors)),
        signal,
      })
      const iterator = rows[Symbol.asyncIterator]()
      // The first row is asked for here, so that a refused option is an error and not half an answer.
      const first = await iterator.next()
      reply.type(NDJSON_TYPE)
      return Readable.from(jsonLines(call, rows, iterator, first, vectors !== false), {
        objectMode: false,
        highWaterMark: CHUNK_CHARS,
      })
    },
  },
  {
    method: 'POST',
    path: '/collections/:name/count',
    operation: 'count',
    summary: 'How many rows there are, or match a filter',
    scope: 'read',
    cost: 'light',
    body: CountBody,
    bodyOptional: true,
    answer: Count,
    example: { body: {}, answer: { count: 2 } },
    async run(call) {
      const docs = await call.collection()
      const { filter } = (call.body ?? {}) as { filter?: unknown }
      if (filter === undefined) return { count: await docs.count() }
      requireFilters(docs)
      return { count: await docs.count({ filter, signal: call.signal }) }
    },
  },
]

/** Rows written before an error stay: its details say how many. */
async function arrowUpsert(docs: CollectionDoor, bytes: Uint8Array): Promise<object> {
  const { rows, lsn } = await feature(docs, 'fromArrow')(bytes)
  return { lsn, upserted: rows }
}

/** Every row, or those that match, as an Arrow IPC stream, a batch at a time as the client takes them. A stream without its end was cut. */
async function arrowScan(docs: CollectionDoor, call: Call): Promise<Readable> {
  const { reply, signal } = call
  const options = (call.body ?? {}) as object
  const option = Object.keys(options).find(name => !ARROW_OPTIONS.includes(name))
  if (option !== undefined) {
    const taken = ARROW_OPTIONS.join(', ')
    throw new HttpError('DRIFT_OPTION', `a scan as Arrow takes ${taken} and no '${option}'`, { option })
  }
  const batches = feature(docs, 'toArrow')({ ...options, signal })[Symbol.asyncIterator]()
  // The first batch is asked for here, so that a failure is an error and not half an answer.
  const first = await batches.next()
  const { RecordBatchStreamWriter } = await import('apache-arrow')
  reply.type(ARROW_TYPE)
  const writer = RecordBatchStreamWriter.throughNode()
  pipeline(Readable.from(following(call, first, batches)), writer, () => undefined)
  return writer
}

/** What fails behind the first cuts the answer: it is noted here, since streams do not hand every error on. */
async function* following<T>(
  call: Call,
  first: IteratorResult<T>,
  rest: AsyncIterator<T>,
): AsyncGenerator<T, void> {
  try {
    for (let next = first; !next.done; next = await rest.next()) yield next.value
  } catch (error) {
    call.failed(error)
    throw error
  } finally {
    await rest.return?.()
  }
}

interface JsonUpsert {
  readonly rows?: readonly { readonly id: unknown }[]
  readonly ids?: readonly unknown[]
  readonly vectors?: readonly number[]
  readonly payloads?: readonly unknown[]
}

function jsonBatch({ rows, ids, vectors, payloads }: JsonUpsert): object {
  if (rows && (ids || vectors || payloads)) {
    throw new HttpError('DRIFT_BATCH', 'the body has rows and columns, expected one of them')
  }
  if (rows) return rows.map(row => ({ ...row, id: checkedId(row.id) }))
  if (!ids || !vectors)
    throw new HttpError('DRIFT_BATCH', 'the body has no rows, and not both ids and vectors')
  return columns(ids, Float32Array.from(vectors), payloads)
}

function frameBatch(frame: Frame, dim: number): object {
  const { ids, payloads } = upsertMeta(frame.meta)
  if (frame.dim !== dim) {
    throw new HttpError('DRIFT_DIMENSION', `the frame's vectors have ${frame.dim} values, expected ${dim}`, {
      dim,
    })
  }
  if (frame.rows !== ids.length) {
    throw new HttpError('DRIFT_BATCH', `the frame has ${frame.rows} rows and ${ids.length} ids`)
  }
  return columns(ids, frame.values, payloads)
}

function columns(ids: readonly unknown[], vectors: Float32Array, payloads?: readonly unknown[]): object {
  return {
    ids: ids.map(checkedId),
    vectors,
    ...(payloads ? { payloads: payloads.map(payload => payload ?? undefined) } : {}),
  }
}

/** A lone surrogate has no UTF-8: two such ids would become one. */
function checkedId(id: unknown): Id {
  if (typeof id === 'string' && /\p{Surrogate}/u.test(id)) {
    throw new HttpError('DRIFT_ID', 'an id holds half of a surrogate pair, which is no text')
  }
  return idFromJson(id)
}

function pathId(text: string, type = 'string'): Id {
  if (type === 'string') return checkedId(text)
  if (!/^-?\d{1,20}$/.test(text)) throw new HttpError('DRIFT_ID', `the id is not a ${type}`)
  if (type === 'number') return Number(text)
  return BigInt(text)
}

function selected(docs: CollectionDoor, body: unknown, limits: Call['limits']): unknown {
  const { ids, filter } = body as { ids?: unknown[]; filter?: unknown }
  if ((ids === undefined) === (filter === undefined)) {
    throw new HttpError('DRIFT_BATCH', 'expected either ids or a filter')
  }
  if (ids) {
    within(limits, 'rows', ids.length)
    return ids.map(checkedId)
  }
  requireFilters(docs)
  return { filter }
}

function jsonRow({ id, vector, payload }: StoredRow, withVector = true): object {
  return {
    id: idToJson(id),
    ...(withVector && vector ? { vector: Array.from(vector) } : {}),
    ...(payload === undefined ? {} : { payload }),
  }
}

function jsonRowOrNull(found: StoredRow | undefined): object | null {
  return found ? jsonRow(found) : null
}

async function* rowsInParts(
  docs: CollectionDoor,
  ids: readonly Id[],
  vectors: boolean,
): AsyncGenerator<StoredRow | undefined, void, undefined> {
  const part = Math.ceil(SHORT_VALUES / Math.max(docs.dim, ROW_VALUES))
  for (let first = 0; first < ids.length; first += part) {
    yield* await docs.getMany(ids.slice(first, first + part), { vectors })
    await turn()
  }
}

/** The text of `{ rows }`, part by part as the client takes it: each row is as it is when its turn comes. */
async function* rowsText(
  docs: CollectionDoor,
  ids: readonly Id[],
  vectors: boolean,
): AsyncGenerator<string, void, undefined> {
  let chunk = '{"rows":['
  let comma = ''
  for await (const found of rowsInParts(docs, ids, vectors)) {
    chunk += comma + JSON.stringify(jsonRowOrNull(found))
    comma = ','
    if (chunk.length < CHUNK_CHARS) continue
    yield chunk
    chunk = ''
  }
  yield `${chunk}]}`
}

/** An engine that can leave vectors out is told so; the others' vectors are left out here. */
function scanVectors(docs: CollectionDoor, vectors: boolean): object {
  return typeof docs.updatePayload === 'function' ? { vectors } : {}
}

/** What fails in the middle is the last line: the status has been sent. */
async function* jsonLines(
  call: Call,
  scan: { readonly cursor?: string | undefined },
  rows: AsyncIterator<StoredRow>,
  first: IteratorResult<StoredRow>,
  withVectors: boolean,
): AsyncGenerator<string, void, undefined> {
  let count = 0
  let chunk = ''
  try {
    for (let next = first; !next.done; next = await rows.next()) {
      chunk += `${JSON.stringify(jsonRow(next.value, withVectors))}\n`
      count++
      if (chunk.length < CHUNK_CHARS) continue
      yield chunk
      chunk = ''
    }
    yield `${chunk}${JSON.stringify({ end: true, rows: count, cursor: scan.cursor })}\n`
  } catch (error) {
    const { code, message } = call.failed(error)
    yield `${chunk}${JSON.stringify({ error: { code, message } })}\n`
  } finally {
    await rows.return?.()
  }
}
