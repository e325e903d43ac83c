/**
 * The shapes of requests and answers: one source for validation, types and the OpenAPI document. `x-code` is the error
 * code of the embedded engine for that field, so that a bad value has one name on both sides of the network.
 */
import Type, { type Static, type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { HttpError } from './errors.js'

const CLOSED = { additionalProperties: false } as const
/** Answers may get more fields in later releases. */
const OPEN = { additionalProperties: true } as const
/** Of a path in payloads, a backup's name. */
const MAX_TEXT = 1_024
/** A cursor is an id of up to 1 025 bytes in base64url. */
const MAX_CURSOR = 2_048

const JsonIdSchema = Type.Union(
  [
    Type.String({ minLength: 1, maxLength: 1_024 }),
    Type.Integer({ minimum: -Number.MAX_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }),
    Type.Object({ $bigint: Type.String({ pattern: '^-?[0-9]{1,20}$' }) }, CLOSED),
  ],
  {
    'x-code': 'DRIFT_ID',
    description: 'a string, a safe integer, or a 64-bit integer as { "$bigint": "digits" }',
  },
)
const VectorSchema = Type.Array(Type.Number({ 'x-code': 'DRIFT_VECTOR_VALUE' }), {
  'x-code': 'DRIFT_VECTOR_TYPE',
  description: 'as many numbers as the collection has dimensions, each finite in float32',
})
const PatchSchema = Type.Record(Type.String(), Type.Unknown(), {
  'x-code': 'DRIFT_PATCH',
  description: 'an object such as { "seen": true }',
})
const PayloadSchema = Type.Record(Type.String(), Type.Unknown(), { 'x-code': 'DRIFT_PAYLOAD' })
const FilterSchema = Type.Record(Type.String(), Type.Unknown(), {
  'x-code': 'DRIFT_FILTER',
  description: 'conditions on payloads: { "lang": "en", "time": { "$gte": 2020 } }',
})
const Ids = Type.Array(JsonIdSchema, { 'x-code': 'DRIFT_BATCH' })
const Option = { 'x-code': 'DRIFT_OPTION' } as const
const Finite = Type.Number({ ...Option, description: 'a number' })
const Count1 = { minimum: 1, ...Option, description: 'an integer of at least 1' } as const
const Recall = Type.Number({
  exclusiveMinimum: 0,
  maximum: 1,
  'x-code': 'DRIFT_RECALL',
  description: 'a number above 0 and at most 1',
})
const Flag = Type.Boolean({ ...Option, description: 'true or false' })
const IndexKind = Type.Union([Type.Literal('keyword'), Type.Literal('number')], {
  'x-code': 'DRIFT_INDEX',
  description: "'keyword' or 'number'",
})
const Metric = Type.Union([Type.Literal('l2'), Type.Literal('cosine'), Type.Literal('ip')], {
  'x-code': 'DRIFT_METRIC',
  description: 'l2, cosine or ip',
})
const Cold = Type.Union([Type.Literal('resident'), Type.Literal('disk')], {
  ...Option,
  description: "'resident' or 'disk'",
})
const Quantizer = Type.Union(
  [Type.Literal('auto'), Type.Literal('sign'), Type.Literal('sq8'), Type.Literal('pq')],
  { ...Option, description: "'auto', 'sign', 'sq8' or 'pq'" },
)
const IndexPath = Type.String({
  minLength: 1,
  maxLength: MAX_TEXT,
  'x-code': 'DRIFT_FILTER',
  description: "a dotted path such as 'author.name'",
})

const searchOptions = {
  k: Type.Optional(Type.Integer({ ...Count1, 'x-code': 'DRIFT_K' })),
  probes: Type.Optional(Type.Integer(Count1)),
  ef: Type.Optional(Type.Integer(Count1)),
  payload: Type.Optional(Flag),
  recall: Type.Optional(Recall),
  filter: Type.Optional(FilterSchema),
  radius: Type.Optional(Type.Number({ 'x-code': 'DRIFT_RADIUS', description: 'a finite number' })),
  mode: Type.Optional(Type.Literal('paper', { ...Option, description: "'paper'" })),
  lambda: Type.Optional(Finite),
  tau: Type.Optional(Finite),
  confidence: Type.Optional(Finite),
  normalised: Type.Optional(Flag),
  efSearch: Type.Optional(Type.Integer(Count1)),
}
export const SearchOptionsSchema = Type.Object(searchOptions, CLOSED)
export const SearchBody = Type.Object({ query: VectorSchema, ...searchOptions }, CLOSED)
export const BatchSearchBody = Type.Object(
  { queries: Type.Array(VectorSchema, { 'x-code': 'DRIFT_VECTOR_TYPE' }), ...searchOptions },
  CLOSED,
)

export const CollectionBody = Type.Object(
  {
    dim: Type.Optional(Type.Integer({ ...Count1, 'x-code': 'DRIFT_DIMENSION' })),
    metric: Type.Optional(Metric),
    memtableRows: Type.Optional(Type.Integer(Count1)),
    cold: Type.Optional(Cold),
    quantizer: Type.Optional(Quantizer),
    indexes: Type.Optional(
      Type.Record(Type.String(), IndexKind, {
        'x-code': 'DRIFT_INDEX',
        description: 'an object such as { "lang": "keyword" }',
      }),
    ),
  },
  CLOSED,
)

const RowSchema = Type.Object(
  { id: JsonIdSchema, vector: VectorSchema, payload: Type.Optional(PayloadSchema) },
  { ...CLOSED, 'x-code': 'DRIFT_BATCH' },
)
const Payloads = Type.Array(Type.Union([PayloadSchema, Type.Null()], { 'x-code': 'DRIFT_PAYLOAD' }), {
  'x-code': 'DRIFT_BATCH',
})
/** Rows, or columns with the vectors in one row-major array. */
export const UpsertBody = Type.Object(
  {
    rows: Type.Optional(Type.Array(RowSchema, { 'x-code': 'DRIFT_BATCH' })),
    ids: Type.Optional(Ids),
    vectors: Type.Optional(VectorSchema),
    payloads: Type.Optional(Payloads),
  },
  CLOSED,
)
export const UpsertMeta = Type.Object({ ids: Ids, payloads: Type.Optional(Payloads) }, CLOSED)

/** A query string, or a body, of a route that takes none. */
export const NOTHING = Type.Object({}, CLOSED)
export const PointQuery = Type.Object(
  {
    type: Type.Optional(
      Type.Union([Type.Literal('string'), Type.Literal('number'), Type.Literal('bigint')], {
        ...Option,
        description: 'string, number or bigint',
      }),
    ),
  },
  CLOSED,
)
export const StatsQuery = Type.Object(
  {
    buckets: Type.Optional(
      Type.Union([Type.Literal('true'), Type.Literal('false')], { ...Option, description: 'true or false' }),
    ),
  },
  CLOSED,
)
export const GetBody = Type.Object({ ids: Ids, vectors: Type.Optional(Flag) }, CLOSED)
export const SelectBody = Type.Object(
  { ids: Type.Optional(Ids), filter: Type.Optional(FilterSchema) },
  CLOSED,
)
export const PatchBody = Type.Object(
  { ids: Type.Optional(Ids), filter: Type.Optional(FilterSchema), patch: PatchSchema },
  CLOSED,
)
export const ScanBody = Type.Object(
  {
    filter: Type.Optional(FilterSchema),
    cursor: Type.Optional(
      Type.String({
        maxLength: MAX_CURSOR,
        'x-code': 'DRIFT_CURSOR',
        description: 'what an earlier scan gave',
      }),
    ),
    limit: Type.Optional(Type.Integer(Count1)),
    vectors: Type.Optional(Flag),
    payload: Type.Optional(Flag),
    ordered: Type.Optional(
      Type.Boolean({ ...Option, description: 'of Arrow: in the order of cursors, which batches then have' }),
    ),
  },
  CLOSED,
)
export const CountBody = Type.Object({ filter: Type.Optional(FilterSchema) }, CLOSED)
export const MaintainBody = Type.Object(
  {
    budget: Type.Optional(Type.Integer({ minimum: 0, ...Option, description: 'a number of rows' })),
    policy: Type.Optional(
      Type.Union([Type.Literal('drift'), Type.Literal('paper')], {
        ...Option,
        description: "'drift' or 'paper'",
      }),
    ),
  },
  CLOSED,
)
export const IndexBody = Type.Object({ path: IndexPath, type: IndexKind }, CLOSED)
export const IndexDropBody = Type.Object({ path: IndexPath }, CLOSED)
export const BackupBody = Type.Object(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$',
      'x-code': 'DRIFT_NAME',
      description: "1 to 64 letters, digits, '_' or '-', starting with a letter or digit",
    }),
  },
  CLOSED,
)

export const CollectionInfo = Type.Object(
  { name: Type.String(), dim: Type.Integer(), metric: Metric, rows: Type.Integer() },
  OPEN,
)
export const CollectionList = Type.Object({ collections: Type.Array(CollectionInfo) }, OPEN)
export const Dropped = Type.Object({ dropped: Type.Boolean() }, OPEN)
const written = { lsn: Type.Integer(), durable: Type.Boolean() }
/** Of Arrow, which is written in more than one batch, only the last lsn and the rows. */
export const Upserted = Type.Object(
  {
    lsn: Type.Integer(),
    durable: Type.Optional(Type.Boolean()),
    upserted: Type.Integer(),
    replaced: Type.Optional(Type.Integer()),
  },
  OPEN,
)
export const Deleted = Type.Object({ ...written, deleted: Type.Integer() }, OPEN)
export const Patched = Type.Object({ ...written, updated: Type.Integer() }, OPEN)
export const StoredRowSchema = Type.Object(
  { id: JsonIdSchema, vector: Type.Optional(VectorSchema), payload: Type.Optional(PayloadSchema) },
  OPEN,
)
/** A line of a scan: a row, or the last one. */
export const ScanLine = Type.Union([
  StoredRowSchema,
  Type.Object({ end: Type.Literal(true), rows: Type.Integer(), cursor: Type.Optional(Type.String()) }, OPEN),
  Type.Object({ error: Type.Object({ code: Type.String(), message: Type.String() }, OPEN) }, OPEN),
])
export const Rows = Type.Object({ rows: Type.Array(Type.Union([StoredRowSchema, Type.Null()])) }, OPEN)
const HitSchema = Type.Object(
  { id: JsonIdSchema, distance: Type.Number(), score: Type.Number(), payload: Type.Optional(PayloadSchema) },
  OPEN,
)
export const Hits = Type.Object({ hits: Type.Array(HitSchema) }, OPEN)
export const BatchHitsSchema = Type.Object(
  {
    k: Type.Integer(),
    ids: Type.Array(Type.Array(JsonIdSchema)),
    distances: Type.Array(Type.Array(Type.Number())),
  },
  OPEN,
)
export const Count = Type.Object({ count: Type.Integer() }, OPEN)
export const Done = Type.Object({ done: Type.Literal(true) }, OPEN)
/** What has no shape that is promised. */
export const Report = Type.Object({}, OPEN)
export const ErrorAnswer = Type.Object(
  {
    error: Type.Object(
      {
        code: Type.String(),
        message: Type.String(),
        requestId: Type.String(),
        details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
      },
      OPEN,
    ),
  },
  OPEN,
)

const MeasuredRecall = Type.Object(
  {
    k: Type.Integer(),
    target: Type.Number(),
    measured: Type.Number(),
    low95: Type.Number(),
    high95: Type.Number(),
    samples: Type.Number({ description: 'older ones count less' }),
  },
  OPEN,
)
export const CollectionReport = Type.Object(
  {
    name: Type.String(),
    dim: Type.Integer(),
    metric: Metric,
    cold: Cold,
    quantizer: Quantizer,
    rows: Type.Integer(),
    buckets: Type.Integer(),
    bucketStats: Type.Optional(
      Type.Array(
        Type.Object(
          {
            bucket: Type.Integer(),
            rows: Type.Integer({ description: 'that call it home' }),
            live: Type.Integer({ description: 'entries that count' }),
            stored: Type.Integer({ description: 'entries' }),
            temperature: Type.Number({ description: 'of the queries, relative to the mean bucket' }),
            emptiness: Type.Number(),
            zombieRatio: Type.Number(),
            urgency: Type.Number(),
            drift: Type.Optional(Type.Number()),
            draining: Type.Boolean(),
            tier: Type.Union([
              Type.Literal('resident'),
              Type.Literal('mixed'),
              Type.Literal('cold'),
              Type.Literal('codes'),
            ]),
          },
          OPEN,
        ),
      ),
    ),
    segments: Type.Integer(),
    unflushedRows: Type.Integer({ description: 'rows that are only in the log and in memory' }),
    diskBytes: Type.Integer(),
    diskRows: Type.Integer(),
    memory: Type.Record(Type.String(), Type.Number(), { description: 'bytes of each part' }),
    recall: Type.Array(MeasuredRecall),
    indexes: Type.Record(Type.String(), IndexKind),
  },
  OPEN,
)
export const Explained = Type.Object(
  {
    buckets: Type.Array(
      Type.Object(
        {
          bucket: Type.Integer(),
          rank: Type.Integer({ description: 'place by distance among all buckets, from 0' }),
          distance: Type.Number({ description: 'of the centroid by its codes' }),
          live: Type.Integer({ description: 'entries that count' }),
          expectedHits: Type.Number({ description: 'of the k nearest' }),
        },
        OPEN,
      ),
    ),
    scannedBuckets: Type.Integer(),
    scannedRows: Type.Integer({ description: 'entries and rows whose codes or vectors were read' }),
    entries: Type.Integer({ description: 'of the scanned buckets, dead ones included' }),
    expectedRecall: Type.Optional(Type.Number()),
    stop: Type.Union(
      [
        Type.Literal('recall'),
        Type.Literal('floor'),
        Type.Literal('probes'),
        Type.Literal('confidence'),
        Type.Literal('exact'),
        Type.Literal('all'),
      ],
      { description: 'why no more was scanned' },
    ),
    ms: Type.Object({ memtables: Type.Number(), buckets: Type.Number(), total: Type.Number() }, OPEN),
    filter: Type.Optional(
      Type.Object(
        {
          access: Type.Union([Type.Literal('index'), Type.Literal('index, then scan'), Type.Literal('scan')]),
          indexes: Type.Array(Type.String()),
          scanned: Type.Array(Type.String()),
        },
        OPEN,
      ),
    ),
  },
  OPEN,
)
export const CheckAnswer = Type.Object(
  {
    ok: Type.Boolean({ description: 'no error and no warning' }),
    files: Type.Integer(),
    bytes: Type.Integer(),
    findings: Type.Array(
      Type.Object(
        {
          file: Type.String(),
          offset: Type.Optional(Type.Integer()),
          kind: Type.String(),
          severity: Type.Union([Type.Literal('error'), Type.Literal('warning'), Type.Literal('info')]),
          message: Type.String(),
          truth: Type.Boolean({ description: 'whether what users wrote is concerned' }),
        },
        OPEN,
      ),
    ),
  },
  OPEN,
)
export const Healed = Type.Object(
  {
    operations: Type.Integer(),
    moves: Type.Integer({ description: 'rows that got another bucket' }),
    seconds: Type.Number(),
    kinds: Type.Record(Type.String(), Type.Integer(), { description: 'operations by kind' }),
  },
  OPEN,
)
export const BackedUp = Type.Object({ name: Type.String() }, OPEN)

/** Infinity, which JSON does not have, is null. */
const Endless = (description: string) => Type.Union([Type.Number(), Type.Null()], { description })
const Recovered = Type.Object(
  {
    mode: Type.Union([
      Type.Literal('strict'),
      Type.Literal('salvage'),
      Type.Object({ pointInTime: Type.Integer() }, OPEN),
    ]),
    clean: Type.Boolean({ description: 'the database was closed before' }),
    replayedRecords: Type.Integer(),
    replayedBytes: Type.Integer(),
    torn: Type.Optional(Type.Object({ file: Type.Integer(), offset: Type.Integer() }, OPEN)),
    losses: Type.Array(
      Type.Object(
        {
          file: Type.String(),
          offset: Type.Integer(),
          kind: Type.String(),
          reason: Type.String(),
          firstLsn: Type.Optional(Type.Integer()),
          lastLsn: Type.Optional(Type.Integer()),
          collection: Type.Optional(Type.String()),
          ids: Type.Optional(Type.Array(JsonIdSchema)),
          unknownIds: Type.Optional(Type.Integer()),
        },
        OPEN,
      ),
    ),
    quarantined: Type.Array(Type.String()),
  },
  { ...OPEN, description: 'of the opening; only to an admin of all collections' },
)
export const DatabaseStats = Type.Object(
  {
    state: Type.Union(
      [Type.Literal('open'), Type.Literal('full'), Type.Literal('read-only'), Type.Literal('failed')],
      {
        description:
          'full: writes are refused until the disk has room; failed: until the server is restarted',
      },
    ),
    disk: Type.Object(
      {
        state: Type.Union([Type.Literal('open'), Type.Literal('full'), Type.Literal('failed')]),
        freeBytes: Endless('null for a disk without a limit'),
        minFreeBytes: Type.Integer({ description: 'with less free, writes are refused' }),
        reserveBytes: Type.Integer(),
        reason: Type.Optional(Type.String({ description: 'why writes are refused' })),
      },
      OPEN,
    ),
    collections: Type.Array(CollectionReport),
    maintenance: Type.Object(
      {
        paused: Type.Boolean({ description: 'it rests now, for searches' }),
        pausedMs: Type.Number(),
        lateSearches: Type.Number({ description: 'share of those of late' }),
        maxSearchWaitMs: Endless('null where it never rests'),
      },
      OPEN,
    ),
    wal: Type.Object(
      {
        files: Type.Integer(),
        bytes: Type.Integer(),
        pendingBytes: Type.Integer(),
        durableLsn: Type.Integer(),
      },
      OPEN,
    ),
    manifest: Type.Integer(),
    pageCache: Type.Object(
      { maxBytes: Type.Integer(), bytes: Type.Integer(), hits: Type.Integer(), misses: Type.Integer() },
      OPEN,
    ),
    failing: Type.Boolean({ description: 'flushes or compactions fail and are tried again' }),
    lastError: Type.Optional(
      Type.String({
        description: 'why they do; only while they do, and only to an admin of all collections',
      }),
    ),
    recovery: Type.Optional(Recovered),
  },
  OPEN,
)

export type Validate<T extends TSchema> = (value: unknown) => Static<T>

/** A function that returns what fits the schema. @throws HttpError with the `x-code` nearest to what does not. */
export function validator<T extends TSchema>(schema: T, where = 'body'): Validate<T> {
  const compiled = Compile(schema)
  return value => {
    if (compiled.Check(value)) return value as Static<T>
    const [first] = compiled.Errors(value)
    if (!first) throw new HttpError('DRIFT_SCHEMA', `the ${where} does not have the expected shape`)
    throw schemaError(schema, first as ValidationError, where)
  }
}

interface ValidationError {
  readonly keyword: string
  readonly schemaPath: string
  readonly instancePath: string
  readonly message: string
}

type Node = { readonly [key: string]: unknown }

/** Names that the object has whose schema refuses further ones. @param schemaPath - of the refusal, from the root. */
function namesBeside(schema: Node, schemaPath: string): string[] {
  let node: Node | undefined = schema
  for (const key of schemaPath.split('/').slice(1)) {
    if (key === 'additionalProperties') break
    node = node?.[decodeURIComponent(key)] as Node | undefined
  }
  return Object.keys((node?.['properties'] as object | undefined) ?? {})
}

function schemaError(schema: TSchema, error: ValidationError, where: string): HttpError {
  const path = [where, ...error.instancePath.split('/').slice(1)].join('.').slice(0, 200)
  if (error.keyword === 'boolean' || error.keyword === 'additionalProperties') {
    const known = namesBeside(schema as unknown as Node, error.schemaPath)
    const only = known.length === 0 ? '' : `, only ${known.join(', ')}`
    return new HttpError('DRIFT_UNKNOWN_OPTION', `${path} is not known here${only}`, { field: path })
  }
  let node = schema as unknown as Node | undefined
  let code = (node?.['x-code'] as string | undefined) ?? 'DRIFT_SCHEMA'
  let description: string | undefined
  const follow = (key: string): void => {
    const isChoice = key === 'anyOf'
    node = node?.[key] as Node | undefined
    code = (node?.['x-code'] as string | undefined) ?? code
    // Which of the choices the validator tried first says nothing: what all of them are is told.
    if (!isChoice && !isInChoice) description = node?.['description'] as string | undefined
    isInChoice ||= isChoice
  }
  let isInChoice = false
  for (const key of error.schemaPath.split('/').slice(1)) follow(decodeURIComponent(key))
  const missing = (error as { params?: { requiredProperties?: string[] } }).params?.requiredProperties?.[0]
  if (missing !== undefined) {
    follow('properties')
    follow(missing)
    return new HttpError(code, `${path} has no '${missing}'`, { field: `${path}.${missing}` })
  }
  const expected = description === undefined ? error.message : `expected ${description}`
  return new HttpError(code, `${path}: ${expected}`, { field: path })
}
