// The requests that mean no good, as tables and what they are crossed with. Each names the status and the code that
// docs/http.md and docs/errors.md promise for it.
import { encodeFrame, FRAME_TYPE } from '@drift/client/wire'
import { routes } from '../../src/routes/routes.js'
import { type Message, request } from './socket.js'

export interface Case {
  readonly title: string
  readonly bytes: Uint8Array
  readonly status: number
  readonly code: string | undefined
}

export const KEYS = {
  reader: 'drift_reader-key-of-at-least-thirty-two-bytes',
  writer: 'drift_writer-key-of-at-least-thirty-two-bytes',
  admin: 'drift_admin-key-of-at-least-thirty-two-bytes',
  elsewhere: 'drift_elsewhere-key-of-at-least-thirty-two-bytes',
} as const
type Role = keyof typeof KEYS

export const DIM = 3
const JSON_TYPE = ['content-type', 'application/json'] as const
const POINTS = '/v1/collections/docs/points'
const SEARCH = '/v1/collections/docs/search'

const as = (role: Role) => ['authorization', `Bearer ${KEYS[role]}`] as const
const kind = (title: string, message: Message, status: number, code?: string): Case => ({
  title,
  bytes: request(message),
  status,
  code,
})
const json = (
  title: string,
  method: string,
  path: string,
  body: string | Uint8Array,
  status: number,
  code: string,
): Case => kind(title, { method, path, headers: [as('admin'), JSON_TYPE], body }, status, code)
const search = (title: string, body: string, code: string, status = 400): Case =>
  json(`search with ${title}`, 'POST', SEARCH, body, status, code)
const upsert = (title: string, body: string | Uint8Array, code: string, status = 400): Case =>
  json(`upsert with ${title}`, 'PUT', POINTS, body, status, code)

/** What is no JSON value of the right type, as JSON text. */
const WRONG: readonly [string, string][] = [
  ['null', 'null'],
  ['true', 'true'],
  ['text', '"10"'],
  ['a list', '[1]'],
  ['nested lists', '[[1,2,3]]'],
  ['an object', '{"valueOf":1}'],
  ['minus one', '-1'],
  ['a fraction', '1.5'],
  ['1e400', '1e400'],
  ['an empty text', '""'],
]

export function authCases(): Case[] {
  const cases: Case[] = []
  const ranks = { read: 1, write: 2, admin: 3 }
  const held: Record<Role, number> = { reader: 1, writer: 2, admin: 3, elsewhere: 3 }
  for (const route of routes) {
    // A collection that is not there: what is let in finds nothing to harm.
    const path = `/v1${route.path.replace(':name', 'nowhere').replace(':id', 'x')}`
    const body = route.body ? JSON.stringify(route.example.body) : undefined
    const message = (headers: Message['headers'] = []): Message => ({
      method: route.method,
      path,
      headers: body === undefined ? headers : [...headers, JSON_TYPE],
      ...(body === undefined ? {} : { body }),
    })
    const { operation } = route
    cases.push(kind(`${operation} without a key`, message(), 401, 'DRIFT_UNAUTHORIZED'))
    cases.push(
      kind(
        `${operation} with a key that nobody has`,
        message([['authorization', `Bearer ${'x'.repeat(45)}`]]),
        401,
        'DRIFT_UNAUTHORIZED',
      ),
    )
    for (const role of ['reader', 'writer'] as const) {
      if (held[role] >= ranks[route.scope]) continue
      cases.push(kind(`${operation} by a ${role}`, message([as(role)]), 403, 'DRIFT_FORBIDDEN'))
    }
    if (route.path.includes(':name')) {
      cases.push(
        kind(`${operation} on another's collection`, message([as('elsewhere')]), 404, 'DRIFT_NO_COLLECTION'),
      )
    }
  }
  const presented: [string, Message['headers']][] = [
    ['an empty key', [['authorization', 'Bearer ']]],
    ['the beginning of a key', [['authorization', `Bearer ${KEYS.admin.slice(0, -1)}`]]],
    ['a key and more', [['authorization', `Bearer ${KEYS.admin}x`]]],
    ['a key in other letters', [['authorization', `Bearer ${KEYS.admin.toUpperCase()}`]]],
    ['a key without Bearer', [['authorization', KEYS.admin]]],
    ['a key as Basic', [['authorization', `Basic ${Buffer.from(`:${KEYS.admin}`).toString('base64')}`]]],
    ['a key twice', [as('admin'), as('admin')]],
    ['two keys', [as('reader'), as('admin')]],
    ['a key in two headers', [as('admin'), ['x-api-key', KEYS.admin]]],
    ['a very long key', [['authorization', `Bearer ${'x'.repeat(8_000)}`]]],
    ['a key of other bytes', [['authorization', 'Bearer k\u00e9y\u00ff']]],
    [
      'a hash for a key',
      [['authorization', 'Bearer sha256:0000000000000000000000000000000000000000000000000000000000000000']],
    ],
    ['a header __proto__', [['__proto__', KEYS.admin]]],
    ['two keys with a comma', [['x-api-key', `${KEYS.admin}, ${KEYS.admin}`]]],
  ]
  for (const [title, headers] of presented) {
    cases.push(
      kind(
        title,
        { method: 'GET', path: '/v1/collections', headers: headers ?? [] },
        401,
        'DRIFT_UNAUTHORIZED',
      ),
    )
  }
  for (const name of ['key', 'api_key', 'token', 'access_token', 'authorization']) {
    const path = `/v1/collections?${name}=${KEYS.admin}`
    cases.push(kind(`a key in the URL as ${name}`, { method: 'GET', path }, 401, 'DRIFT_UNAUTHORIZED'))
  }
  for (const path of [
    '/',
    '/admin',
    '/v1',
    '/v2/collections',
    '/debug/pprof',
    '/.env',
    '/v1/../metrics',
    '/metrics',
  ]) {
    cases.push(kind(`${path} without a key`, { method: 'GET', path }, 401, 'DRIFT_UNAUTHORIZED'))
  }
  cases.push(
    kind(
      'metrics of all by who sees some',
      { method: 'GET', path: '/metrics', headers: [as('elsewhere')] },
      403,
      'DRIFT_FORBIDDEN',
    ),
  )
  // The key is looked at before the body: one that is too long is not even a reason.
  const unread = {
    method: 'PUT',
    path: POINTS,
    headers: [JSON_TYPE, ['content-length', '999999999999'] as const],
  }
  cases.push(kind('a body of a terabyte without a key', unread, 401, 'DRIFT_UNAUTHORIZED'))
  return cases
}

export function framingCases(): Case[] {
  const raw = (title: string, text: string, status = 400, code: string | null = 'DRIFT_REQUEST'): Case => ({
    title,
    bytes: Buffer.from(text, 'latin1'),
    status,
    code: code ?? undefined,
  })
  const head = `PUT ${POINTS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${KEYS.admin}\r\ncontent-type: application/json\r\nconnection: close\r\n`
  return [
    raw('no HTTP', 'hello\r\n\r\n'),
    raw('TLS on a plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'),
    raw('HTTP/2 by surprise', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    raw('HTTP/9.9', 'GET / HTTP/9.9\r\nhost: x\r\n\r\n'),
    raw('no version', 'GET /\r\n\r\n', 401, 'DRIFT_UNAUTHORIZED'),
    raw('no host', 'GET /v1/collections HTTP/1.1\r\n\r\n', 400, null),
    raw('a space in the method', 'G ET / HTTP/1.1\r\nhost: x\r\n\r\n'),
    raw('an unknown method', 'HACK / HTTP/1.1\r\nhost: x\r\n\r\n'),
    raw('two lengths', `${head}content-length: 2\r\ncontent-length: 3\r\n\r\n{}`),
    raw('length and chunks', `${head}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`),
    raw('a length that is negative', `${head}content-length: -1\r\n\r\n`),
    raw('a length that is no number', `${head}content-length: 1e3\r\n\r\n`),
    raw('a length beyond 64 bits', `${head}content-length: 99999999999999999999999\r\n\r\n`),
    raw('a chunk of no size', `${head}transfer-encoding: chunked\r\n\r\nzz\r\n`),
    raw('a chunk longer than it says', `${head}transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n`),
    raw('an unknown transfer encoding', `${head}transfer-encoding: cow\r\n\r\n`),
    raw('chunks twice', `${head}transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, 400, 'DRIFT_REQUEST'),
    raw('a header without a name', `${head}: x\r\n\r\n`),
    raw('a header with a space in its name', `${head}x y: z\r\n\r\n`),
    raw('a header with NUL', `${head}x: a\0b\r\n\r\n`),
    raw('a folded header', `${head}x: a\r\n b: c\r\n\r\n`.replace('x: a\r\n b', ' x: a\r\n b')),
    raw('a line feed for an end of line', `GET /v1/collections HTTP/1.1\nhost: x\n\n`),
    raw('headers of 20 kB', `${head}x: ${'a'.repeat(20_000)}\r\n\r\n`, 431, 'DRIFT_HEADERS_TOO_LARGE'),
    raw(
      'a URL of 20 kB',
      `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
      431,
      'DRIFT_HEADERS_TOO_LARGE',
    ),
    raw('2 000 headers', `${head}${'a: b\r\n'.repeat(4_000)}\r\n`, 431, 'DRIFT_HEADERS_TOO_LARGE'),
    raw(
      'a body over the limit, by its length',
      `${head}content-length: 9000000\r\n\r\n`,
      413,
      'DRIFT_BODY_TOO_LARGE',
    ),
    raw('an empty body', `${head}content-length: 0\r\n\r\n`, 400, 'DRIFT_JSON'),
    raw('no body at all', `${head}\r\n`, 400, 'DRIFT_JSON'),
    raw(
      'a body in gzip',
      `${head}content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}`,
      415,
      'DRIFT_MEDIA_TYPE',
    ),
    raw(
      'a body in br',
      `${head}content-encoding: br\r\ncontent-length: 2\r\n\r\n{}`,
      415,
      'DRIFT_MEDIA_TYPE',
    ),
    raw(
      'a body in gzip twice',
      `${head}content-encoding: gzip, gzip\r\ncontent-length: 2\r\n\r\n{}`,
      415,
      'DRIFT_MEDIA_TYPE',
    ),
    ...[
      'text/plain',
      'application/xml',
      'multipart/form-data; boundary=x',
      'application/x-www-form-urlencoded',
      'application/jso',
      'garbage',
      '*/*',
      FRAME_TYPE.slice(0, -1),
    ].map(type =>
      kind(
        `a body of type ${type}`,
        { method: 'PUT', path: POINTS, headers: [as('admin'), ['content-type', type]], body: '{}' },
        415,
        'DRIFT_MEDIA_TYPE',
      ),
    ),
    kind(
      'a body without a type',
      { method: 'PUT', path: POINTS, headers: [as('admin')], body: '{}' },
      415,
      'DRIFT_MEDIA_TYPE',
    ),
    kind(
      'a frame where JSON is expected',
      {
        method: 'POST',
        path: `${POINTS}/delete`,
        headers: [as('admin'), ['content-type', FRAME_TYPE]],
        body: 'x',
      },
      415,
      'DRIFT_MEDIA_TYPE',
    ),
    kind(
      'a frame where JSON is expected, its type in capitals',
      {
        method: 'POST',
        path: `${POINTS}/delete`,
        headers: [as('admin'), ['content-type', FRAME_TYPE.toUpperCase()]],
        body: encodeFrame(1, DIM, { ids: [1] }, new Float32Array([1, 2, 3])),
      },
      415,
      'DRIFT_MEDIA_TYPE',
    ),
  ]
}

export function jsonCases(): Case[] {
  const cases: Case[] = []
  for (const depth of [33, 100, 10_000, 1_000_000]) {
    cases.push(upsert(`${depth} brackets`, '['.repeat(depth) + ']'.repeat(depth), 'DRIFT_JSON'))
    cases.push(upsert(`${depth} open brackets`, '['.repeat(depth), 'DRIFT_JSON'))
    cases.push(upsert(`${depth} open objects`, '{"a":'.repeat(depth), 'DRIFT_JSON'))
  }
  const broken = [
    '',
    ' ',
    '{',
    '}',
    '[',
    '{"rows":',
    '{"rows":[}',
    "{'rows':[]}",
    '{rows:[]}',
    '{"rows":[],}',
    '[1,]',
    'NaN',
    'undefined',
    '{"a":NaN}',
    '{"a":Infinity}',
    '{"a":01}',
    '{"a":1.}',
    '{"a":.5}',
    '{"a":+1}',
    '{"a":0x10}',
    '"\n"',
    '"\\x41"',
    '"\\u12"',
    '{} {}',
    '{}garbage',
    '\ufeff{}',
    '// c\n{}',
    'tru',
    '-',
    '"open',
  ]
  for (const text of broken) cases.push(upsert(`the text ${JSON.stringify(text)}`, text, 'DRIFT_JSON'))
  for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf8, 0x88], [0xe2, 0x82]]) {
    const body = Buffer.concat([
      Buffer.from('{"rows":[{"id":"'),
      Buffer.from(bytes),
      Buffer.from('","vector":[1,2,3]}]}'),
    ])
    cases.push(upsert(`bytes ${bytes.map(byte => byte.toString(16))} in a text`, body, 'DRIFT_JSON'))
  }
  for (const key of ['__proto__', '__pr\\u006fto__']) {
    cases.push(upsert(`${key} at the top`, `{"rows":[],"${key}":{"x":1}}`, 'DRIFT_JSON'))
    cases.push(upsert(`${key} in a row`, `{"rows":[{"id":1,"vector":[1,2,3],"${key}":{}}]}`, 'DRIFT_JSON'))
    cases.push(
      upsert(
        `${key} in a payload`,
        `{"rows":[{"id":1,"vector":[1,2,3],"payload":{"a":{"${key}":{"x":1}}}}]}`,
        'DRIFT_JSON',
      ),
    )
    cases.push(search(`${key} in a filter`, `{"query":[1,2,3],"filter":{"${key}":{"x":1}}}`, 'DRIFT_JSON'))
  }
  for (const [title, value] of WRONG) {
    if (title !== 'an object') cases.push(upsert(`${title} for a body`, value, 'DRIFT_SCHEMA'))
    if (title !== 'an object') cases.push(search(`${title} for a body`, value, 'DRIFT_SCHEMA'))
    if (title !== 'a list' && title !== 'nested lists')
      cases.push(upsert(`${title} for rows`, `{"rows":${value}}`, 'DRIFT_BATCH'))
    if (title !== 'an object') cases.push(upsert(`${title} for a row`, `{"rows":[${value}]}`, 'DRIFT_BATCH'))
    const isId = ['text', 'minus one'].includes(title)
    if (!isId)
      cases.push(upsert(`${title} for an id`, `{"rows":[{"id":${value},"vector":[1,2,3]}]}`, 'DRIFT_ID'))
    if (title !== 'a list' && title !== 'nested lists')
      cases.push(
        upsert(`${title} for a vector`, `{"rows":[{"id":1,"vector":${value}}]}`, 'DRIFT_VECTOR_TYPE'),
      )
    const isNumber = ['minus one', 'a fraction'].includes(title)
    if (!isNumber)
      cases.push(
        upsert(`${title} in a vector`, `{"rows":[{"id":1,"vector":[1,${value},3]}]}`, 'DRIFT_VECTOR_VALUE'),
      )
    if (title !== 'an object')
      cases.push(
        upsert(
          `${title} for a payload`,
          `{"rows":[{"id":1,"vector":[1,2,3],"payload":${value}}]}`,
          'DRIFT_PAYLOAD',
        ),
      )
    for (const what of ['delete', 'get']) {
      if (title !== 'a list' && title !== 'nested lists')
        cases.push(
          json(
            `${what} of ${title} for ids`,
            'POST',
            `${POINTS}/${what}`,
            `{"ids":${value}}`,
            400,
            'DRIFT_BATCH',
          ),
        )
      if (!isId)
        cases.push(
          json(
            `${what} of ${title} for an id`,
            'POST',
            `${POINTS}/${what}`,
            `{"ids":[${value}]}`,
            400,
            'DRIFT_ID',
          ),
        )
    }
  }
  return cases
}

export function vectorCases(): Case[] {
  const cases: Case[] = []
  const row = (vector: string): string => `{"rows":[{"id":1,"vector":${vector}}]}`
  for (const vector of ['[]', '[1]', '[1,2]', '[1,2,3,4]', `[${'1,'.repeat(9_999)}1]`]) {
    cases.push(upsert(`a vector ${vector.slice(0, 20)}`, row(vector), 'DRIFT_DIMENSION'))
    cases.push(search(`a query ${vector.slice(0, 20)}`, `{"query":${vector}}`, 'DRIFT_DIMENSION'))
    cases.push(
      json(
        `a batch with a query ${vector.slice(0, 20)}`,
        'POST',
        `${SEARCH}/batch`,
        `{"queries":[[1,2,3],${vector}]}`,
        400,
        'DRIFT_DIMENSION',
      ),
    )
  }
  for (const value of ['1e39', '-1e39', '3.5e38', '1e400', '-1e400', 'null', '"1"', '[1]', '{}', 'false']) {
    cases.push(upsert(`the value ${value} in a vector`, row(`[1,2,${value}]`), 'DRIFT_VECTOR_VALUE'))
    cases.push(search(`the value ${value} in the query`, `{"query":[1,2,${value}]}`, 'DRIFT_VECTOR_VALUE'))
    cases.push(
      upsert(`the value ${value} in columns`, `{"ids":[1],"vectors":[1,2,${value}]}`, 'DRIFT_VECTOR_VALUE'),
    )
  }
  cases.push(
    upsert(
      'a good row and a bad one',
      '{"rows":[{"id":"half","vector":[1,2,3]},{"id":2,"vector":[1,2]}]}',
      'DRIFT_DIMENSION',
    ),
  )
  cases.push(upsert('columns too short', '{"ids":[1,2],"vectors":[1,2,3]}', 'DRIFT_DIMENSION'))
  cases.push(upsert('columns of other lengths', '{"ids":[1],"vectors":[1,2,3],"payloads":[]}', 'DRIFT_BATCH'))
  cases.push(upsert('rows and columns', '{"rows":[],"ids":[1],"vectors":[1,2,3]}', 'DRIFT_BATCH'))
  cases.push(upsert('ids alone', '{"ids":[1]}', 'DRIFT_BATCH'))
  cases.push(upsert('nothing', '{}', 'DRIFT_BATCH'))
  cases.push(upsert('no rows', '{"rows":[]}', 'DRIFT_EMPTY_BATCH'))
  for (const id of [
    '9007199254740993',
    '-9007199254740993',
    '1.5',
    '{"$bigint":"x"}',
    '{"$bigint":"99999999999999999999"}',
    '{"$bigint":1}',
    '"\\ud800"',
    '"\\udc00x"',
    '""',
    `"${'x'.repeat(1_025)}"`,
    `"${'é'.repeat(600)}"`,
    '{}',
    '[]',
    'null',
  ]) {
    cases.push(upsert(`the id ${id.slice(0, 24)}`, `{"rows":[{"id":${id},"vector":[1,2,3]}]}`, 'DRIFT_ID'))
    cases.push(
      json(
        `delete of the id ${id.slice(0, 24)}`,
        'POST',
        `${POINTS}/delete`,
        `{"ids":[${id}]}`,
        400,
        'DRIFT_ID',
      ),
    )
  }
  cases.push(upsert('an unknown field', '{"rows":[],"row":1}', 'DRIFT_UNKNOWN_OPTION'))
  cases.push(
    upsert(
      'an unknown field in a row',
      '{"rows":[{"id":1,"vector":[1,2,3],"vec":1}]}',
      'DRIFT_UNKNOWN_OPTION',
    ),
  )
  const big = `{"rows":[{"id":1,"vector":[1,2,3],"payload":{"x":"${'x'.repeat(70_000)}"}}]}`
  cases.push(upsert('a payload of 70 kB', big, 'DRIFT_PAYLOAD_TOO_LARGE'))
  return [...cases, ...frameCases()]
}

/** A row of zeros, and this as its meta. */
function framed(json: string | Uint8Array): Uint8Array {
  const meta = Buffer.from(json)
  const padded = Buffer.concat([meta, Buffer.alloc(-meta.length & 3, ' ')])
  const header = Buffer.alloc(16)
  header.write('DRF1')
  for (const [i, field] of [1, DIM, padded.length].entries()) header.writeUInt32LE(field, 4 * (i + 1))
  return Buffer.concat([header, padded, Buffer.alloc(4 * DIM)])
}

function frameCases(): Case[] {
  const frame = (title: string, body: Uint8Array, code: string, path = POINTS, status = 400): Case =>
    kind(
      `a frame ${title}`,
      {
        method: path === POINTS ? 'PUT' : 'POST',
        path,
        headers: [as('admin'), ['content-type', FRAME_TYPE]],
        body,
      },
      status,
      code,
    )
  const good = encodeFrame(1, DIM, { ids: [1] }, new Float32Array([1, 2, 3]))
  const changed = (at: number, value: number): Uint8Array => {
    const copy = good.slice()
    new DataView(copy.buffer).setUint32(at, value, true)
    return copy
  }
  const cases = [0, 1, 4, 15, 16, 20, good.length - 1, good.length - 4].map(length =>
    frame(`cut after ${length} bytes`, good.slice(0, length), 'DRIFT_FRAME'),
  )
  for (const at of [0, 4, 8, 12]) {
    for (const value of [0, 2, 0x7fffffff, 0xffffffff]) {
      cases.push(frame(`with ${value} at byte ${at}`, changed(at, value), 'DRIFT_FRAME'))
    }
  }
  cases.push(frame('with more behind it', Buffer.concat([good, Buffer.alloc(4)]), 'DRIFT_FRAME'))
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    cases.push(
      frame(
        `of ${value}`,
        encodeFrame(1, DIM, { ids: [1] }, new Float32Array([1, value, 3])),
        'DRIFT_VECTOR_VALUE',
      ),
    )
    cases.push(
      frame(
        `of a query of ${value}`,
        encodeFrame(1, DIM, {}, new Float32Array([1, value, 3])),
        'DRIFT_VECTOR_VALUE',
        SEARCH,
      ),
    )
  }
  const meta: [string, unknown, string][] = [
    ['null', null, 'DRIFT_SCHEMA'],
    ['a list', [], 'DRIFT_SCHEMA'],
    ['no ids', {}, 'DRIFT_BATCH'],
    ['ids of text', { ids: 'x' }, 'DRIFT_BATCH'],
    ['too few ids', { ids: [] }, 'DRIFT_BATCH'],
    ['too many ids', { ids: [1, 2] }, 'DRIFT_BATCH'],
    ['an id of null', { ids: [null] }, 'DRIFT_ID'],
    ['payloads of text', { ids: [1], payloads: 'x' }, 'DRIFT_BATCH'],
    ['a payload of text', { ids: [1], payloads: ['x'] }, 'DRIFT_PAYLOAD'],
    ['more', { ids: [1], x: 1 }, 'DRIFT_UNKNOWN_OPTION'],
  ]
  for (const [title, value, code] of meta) {
    cases.push(frame(`with ${title} for meta`, encodeFrame(1, DIM, value, new Float32Array(3)), code))
  }
  const nested = (depth: number): string => '{"a":'.repeat(depth) + 1 + '}'.repeat(depth)
  for (const [title, json] of [
    ...[33, 10_000, 1_000_000].map(depth => [`${depth} objects`, nested(depth)] as const),
    ['a key that reaches a prototype', '{"ids":[1],"payloads":[{"__proto__":{"x":1}}]}'],
    ['half of JSON', '{"ids":[1]'],
    ['no UTF-8', Buffer.of(0xff, 0xff, 0xff, 0xff)],
  ] as const) {
    cases.push(frame(`with ${title} for meta`, framed(json), 'DRIFT_JSON'))
  }
  cases.push(
    frame('of other vectors', encodeFrame(1, 2, { ids: [1] }, new Float32Array(2)), 'DRIFT_DIMENSION'),
  )
  cases.push(frame('of no queries', encodeFrame(0, DIM, {}, new Float32Array(0)), 'DRIFT_FRAME', SEARCH))
  cases.push(
    frame('of two queries for one', encodeFrame(2, DIM, {}, new Float32Array(6)), 'DRIFT_FRAME', SEARCH),
  )
  cases.push(
    frame(
      'of no queries for many',
      encodeFrame(0, DIM, {}, new Float32Array(0)),
      'DRIFT_EMPTY_BATCH',
      `${SEARCH}/batch`,
    ),
  )
  return cases
}

export function queryCases(): Case[] {
  const cases: Case[] = []
  const option = (name: string, value: string, code: string): Case =>
    search(`${name} ${value.slice(0, 24)}`, `{"query":[1,2,3],"${name}":${value}}`, code)
  for (const value of ['0', '-1', '1.5', '1e308', '1e400', '"10"', 'null', 'true', '[]', '{}']) {
    cases.push(option('k', value, value === '1e308' ? 'DRIFT_COST' : 'DRIFT_K'))
    cases.push(option('ef', value, value === '1e308' ? 'DRIFT_COST' : 'DRIFT_OPTION'))
    cases.push(option('probes', value, 'DRIFT_OPTION'))
    if (value !== 'true') cases.push(option('payload', value, 'DRIFT_OPTION'))
  }
  cases.push(
    option('k', '10001', 'DRIFT_COST'),
    option('k', '2147483648', 'DRIFT_COST'),
    option('ef', '4097', 'DRIFT_COST'),
  )
  for (const value of ['-0.1', '1.1', '"high"', 'null', 'true', '[]']) {
    cases.push(option('recall', value, 'DRIFT_RECALL'), option('confidence', value, 'DRIFT_OPTION'))
  }
  for (const value of ['1', '"x"', 'null', 'true', '[]', '[{}]'])
    cases.push(option('filter', value, 'DRIFT_FILTER'))
  for (const value of ['"x"', 'null', '[]', '1e400']) cases.push(option('radius', value, 'DRIFT_RADIUS'))
  for (const value of ['"fast"', '1', 'null']) cases.push(option('mode', value, 'DRIFT_OPTION'))
  for (const name of [
    'K',
    'limit',
    'offset',
    'topk',
    'vector',
    'where',
    'signal',
    'onProgress',
    'toString',
    'hasOwnProperty',
  ]) {
    cases.push(option(name, '1', 'DRIFT_UNKNOWN_OPTION'))
  }
  const batch = (title: string, body: string, code: string): Case =>
    json(`a batch of ${title}`, 'POST', `${SEARCH}/batch`, body, 400, code)
  cases.push(batch('no queries', '{"queries":[]}', 'DRIFT_EMPTY_BATCH'))
  cases.push(batch('one flat query', '{"queries":[1,2,3]}', 'DRIFT_VECTOR_TYPE'))
  cases.push(batch('1 025 queries', `{"queries":[${'[1,2,3],'.repeat(1_024)}[1,2,3]]}`, 'DRIFT_COST'))
  cases.push(batch('too many hits', `{"queries":[${'[1,2,3],'.repeat(999)}[1,2,3]],"k":10000}`, 'DRIFT_COST'))
  const ids = (count: number): string => `{"ids":[${'1,'.repeat(count - 1)}1]}`
  cases.push(json('delete of too many ids', 'POST', `${POINTS}/delete`, ids(50_001), 400, 'DRIFT_COST'))
  cases.push(json('get of too many ids', 'POST', `${POINTS}/get`, ids(50_001), 400, 'DRIFT_COST'))
  cases.push(
    json(
      'delete of ids and a filter',
      'POST',
      `${POINTS}/delete`,
      '{"ids":[1],"filter":{}}',
      400,
      'DRIFT_BATCH',
    ),
  )
  cases.push(json('delete of neither', 'POST', `${POINTS}/delete`, '{}', 400, 'DRIFT_BATCH'))
  cases.push(json('delete of none', 'POST', `${POINTS}/delete`, '{"ids":[]}', 400, 'DRIFT_EMPTY_BATCH'))
  for (const type of ['number', 'bigint']) {
    cases.push(
      kind(
        `a point 'x' as ${type}`,
        { method: 'GET', path: `${POINTS}/x?type=${type}`, headers: [as('admin')] },
        400,
        'DRIFT_ID',
      ),
    )
  }
  cases.push(
    kind(
      'a point of type float',
      { method: 'GET', path: `${POINTS}/1?type=float`, headers: [as('admin')] },
      400,
      'DRIFT_OPTION',
    ),
  )
  cases.push(
    kind(
      'a point that is not there',
      { method: 'GET', path: `${POINTS}/nobody`, headers: [as('admin')] },
      404,
      'DRIFT_NO_POINT',
    ),
  )
  for (const key of ['x'.repeat(129), 'a b', '\u00e9']) {
    const headers = [as('admin'), JSON_TYPE, ['idempotency-key', key] as const]
    cases.push(
      kind(
        `the idempotency key ${key.slice(0, 9)}`,
        { method: 'PUT', path: POINTS, headers, body: '{"rows":[]}' },
        400,
        'DRIFT_IDEMPOTENCY_KEY',
      ),
    )
  }
  return cases
}

export function nameCases(): Case[] {
  const cases: Case[] = []
  const names: [string, number, string][] = [
    ['%2e%2e', 400, 'DRIFT_NAME'],
    ['%2e%2e%2f%2e%2e', 400, 'DRIFT_NAME'],
    ['..%2f..%2fetc', 400, 'DRIFT_NAME'],
    ['..%5c..%5cetc', 400, 'DRIFT_NAME'],
    ['%252e%252e%252f', 400, 'DRIFT_NAME'],
    ['%2fetc%2fpasswd', 400, 'DRIFT_NAME'],
    ['C:%5cwindows', 400, 'DRIFT_NAME'],
    ['a%00b', 400, 'DRIFT_NAME'],
    ['a%0d%0ab', 400, 'DRIFT_NAME'],
    ['.hidden', 400, 'DRIFT_NAME'],
    ['-dash', 400, 'DRIFT_NAME'],
    ['_under', 400, 'DRIFT_NAME'],
    ['a.b', 400, 'DRIFT_NAME'],
    ['trailing.', 400, 'DRIFT_NAME'],
    ['trailing%20', 400, 'DRIFT_NAME'],
    ['%20', 400, 'DRIFT_NAME'],
    ['x'.repeat(65), 400, 'DRIFT_NAME'],
    ['x'.repeat(2_000), 400, 'DRIFT_NAME'],
    ['%F0%9F%94%91', 400, 'DRIFT_NAME'],
    ['%E2%80%AEfdp', 400, 'DRIFT_NAME'],
    ['d%D0%BEcs', 400, 'DRIFT_NAME'],
    ['docs%23', 400, 'DRIFT_NAME'],
    ['docs;x', 400, 'DRIFT_NAME'],
    ['docs*', 400, 'DRIFT_NAME'],
    ['$(id)', 400, 'DRIFT_NAME'],
    ['<script>', 400, 'DRIFT_NAME'],
    ['__proto__', 400, 'DRIFT_NAME'],
    ['%ff', 400, 'DRIFT_REQUEST'],
    ['%zz', 400, 'DRIFT_REQUEST'],
    ['%c0%ae%c0%ae', 400, 'DRIFT_REQUEST'],
  ]
  const calls = [
    ['GET', '', undefined],
    ['PUT', '', '{"dim":3}'],
    ['DELETE', '', undefined],
    ['POST', '/search', '{"query":[1,2,3]}'],
  ] as const
  for (const [name, status, code] of names) {
    for (const [method, rest, body] of calls) {
      const headers = body ? [as('admin'), JSON_TYPE] : [as('admin')]
      const path = `/v1/collections/${name}${rest}`
      cases.push(
        kind(
          `${method} ${path.slice(0, 60)}`,
          { method, path, headers, ...(body ? { body } : {}) },
          status,
          code,
        ),
      )
    }
  }
  for (const name of ['../up', '..', 'a/b', '/etc/x', 'a.b', '', 'x'.repeat(65), 'con\0', 'http://x', 'é']) {
    cases.push(
      json(
        `a backup named ${JSON.stringify(name).slice(0, 30)}`,
        'POST',
        '/v1/backups',
        JSON.stringify({ name }),
        400,
        'DRIFT_NAME',
      ),
    )
  }
  for (const path of [
    '/v1/collections/docs/snapshot',
    '/v1/collections/docs/points/a/b',
    '/v1/exec',
    '/v1/config',
    '//v1/collections',
  ]) {
    cases.push(kind(`GET ${path}`, { method: 'GET', path, headers: [as('admin')] }, 404, 'DRIFT_NO_ROUTE'))
  }
  for (const [dim, code] of [
    ['0', 'DRIFT_DIMENSION'],
    ['-1', 'DRIFT_DIMENSION'],
    ['4097', 'DRIFT_DIMENSION'],
    ['1.5', 'DRIFT_DIMENSION'],
    ['"3"', 'DRIFT_DIMENSION'],
    ['1e400', 'DRIFT_DIMENSION'],
    ['null', 'DRIFT_DIMENSION'],
    ['[3]', 'DRIFT_DIMENSION'],
  ] as const) {
    cases.push(
      json(`a collection of ${dim} dimensions`, 'PUT', '/v1/collections/new', `{"dim":${dim}}`, 400, code),
    )
  }
  for (const metric of ['"l1"', '1', 'null', '""', '["l2"]']) {
    cases.push(
      json(
        `a collection with the metric ${metric}`,
        'PUT',
        '/v1/collections/new',
        `{"dim":3,"metric":${metric}}`,
        400,
        'DRIFT_METRIC',
      ),
    )
  }
  for (const rows of ['0', '-1', '1e9', '"1"', 'null']) {
    cases.push(
      json(
        `memtables of ${rows} rows`,
        'PUT',
        '/v1/collections/new',
        `{"dim":3,"memtableRows":${rows}}`,
        400,
        'DRIFT_OPTION',
      ),
    )
  }
  for (const option of ['path', 'fs', 'sync', 'file', 'url']) {
    cases.push(
      json(
        `a collection with ${option}`,
        'PUT',
        '/v1/collections/new',
        `{"dim":3,"${option}":"/etc"}`,
        400,
        'DRIFT_UNKNOWN_OPTION',
      ),
    )
  }
  cases.push(
    json(
      'a collection that is another',
      'PUT',
      '/v1/collections/docs',
      '{"dim":4}',
      409,
      'DRIFT_COLLECTION_MISMATCH',
    ),
  )
  return cases
}
