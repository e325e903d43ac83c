// Proves: whatever is sent over a socket gets its documented status and code, the process lives, and nothing of it is
// half applied: after all of it the database holds the rows that it held before, and opens again with them.
import { connect as connectSocket } from 'node:net'
import { connect } from '@drift/client'
import { Drift } from '@drift/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DriftServer, hashKey, serve } from '../../src/index.js'
import { temporaryFolder } from '../fixture.js'
import {
  authCases,
  type Case,
  DIM,
  framingCases,
  jsonCases,
  KEYS,
  nameCases,
  queryCases,
  vectorCases,
} from './corpus.js'
import { exchange, read, request } from './socket.js'

const tables: [string, Case[]][] = [
  ['auth', authCases()],
  ['framing', framingCases()],
  ['JSON', jsonCases()],
  ['vectors', vectorCases()],
  ['queries', queryCases()],
  ['names and collections', nameCases()],
]
const ROW = { id: 'kept', vector: new Float32Array([1, 2, 3]), payload: { n: 1 } }
const AUTH = ['authorization', `Bearer ${KEYS.admin}`] as const
const POINTS = '/v1/collections/docs/points'

let server: DriftServer
let folder: string
const unhandled: unknown[] = []
const note = (error: unknown): void => void unhandled.push(error)

beforeAll(async () => {
  process.on('unhandledRejection', note)
  folder = temporaryFolder()
  server = await serve({
    db: folder,
    port: 0,
    logger: false,
    backupFolder: temporaryFolder(),
    keys: [
      { id: 'reader', hash: hashKey(KEYS.reader), scope: 'read' },
      { id: 'writer', hash: hashKey(KEYS.writer), scope: 'write' },
      { id: 'admin', hash: hashKey(KEYS.admin), scope: 'admin' },
      { id: 'elsewhere', hash: hashKey(KEYS.elsewhere), scope: 'admin', collections: ['else-*'] },
    ],
    limits: {
      failedLoginsPerMinute: 1_000_000,
      requestsPerSecond: 1_000_000,
      eventLoopDelayMs: 0,
      queueMs: 60_000,
    },
    timeouts: { headersMs: 1_000, requestMs: 1_500, checkMs: 100 },
  })
  const docs = await server.db.collection('docs', { dim: DIM, metric: 'l2' })
  await docs.upsert([ROW])
})
afterAll(async () => {
  await server.close()
  process.off('unhandledRejection', note)
})

/** What the database held before the first request. */
async function assertUntouched(): Promise<void> {
  expect(server.db.collections()).toEqual(['docs'])
  const docs = await server.db.collection('docs')
  expect(await docs.count()).toBe(1)
  expect(await docs.get('kept')).toEqual(ROW)
  expect(unhandled).toEqual([])
}

it('the corpus has at least 500 requests', () => {
  expect(tables.reduce((sum, [, cases]) => sum + cases.length, 0)).toBeGreaterThanOrEqual(500)
})

describe.each(tables)('%s', (_, cases) => {
  it(`${cases.length} requests get their status and code, and change nothing`, async () => {
    const wrong: string[] = []
    for (const { title, bytes, status, code } of cases) {
      const answer = await exchange(server.port, bytes)
      const right = answer.status === status && (code === undefined || answer.code === code)
      if (!right)
        wrong.push(
          `${title}: ${answer.status} ${answer.code} ${answer.body.slice(0, 160)}, expected ${status} ${code}`,
        )
      if (/\bat .*\.js:\d|node_modules/.test(answer.body)) wrong.push(`${title}: shows a stack`)
      if (answer.body.includes(folder)) wrong.push(`${title}: shows a path`)
    }
    expect(wrong).toEqual([])
    await assertUntouched()
  })
})

describe('connections', () => {
  const head = (length: number): string =>
    `PUT ${POINTS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${KEYS.admin}\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`

  it('a body that never comes is given up with 408', async () => {
    expect(await exchange(server.port, head(100), '{"rows":')).toMatchObject({
      status: 408,
      code: 'DRIFT_REQUEST_TIMEOUT',
    })
  })

  it('headers that never end are given up with 408', async () => {
    const answer = await exchange(server.port, `PUT ${POINTS} HTTP/1.1\r\nhost: x\r\nx: `)
    expect(answer).toMatchObject({ status: 408, code: 'DRIFT_REQUEST_TIMEOUT' })
  })

  it('chunks beyond the limit are counted and refused', async () => {
    const headers = [
      AUTH,
      ['content-type', 'application/json'] as const,
      ['transfer-encoding', 'chunked'] as const,
    ]
    const chunk = `100000\r\n${' '.repeat(0x100000)}\r\n`
    const answer = await exchange(
      server.port,
      request({ method: 'PUT', path: POINTS, headers }),
      ...Array(10).fill(chunk),
    )
    expect(answer).toMatchObject({ status: 413, code: 'DRIFT_BODY_TOO_LARGE' })
  })

  it('a client that goes away in the middle of its body leaves nothing behind', async () => {
    const body = JSON.stringify({ rows: [{ id: 'half', vector: [1, 2, 3] }] })
    for (let cut = 1; cut < body.length; cut += 7) {
      const socket = connectSocket(server.port, '127.0.0.1')
      socket.on('error', () => undefined)
      await new Promise(resolve => socket.write(head(body.length) + body.slice(0, cut), resolve))
      socket.destroy()
    }
    await assertUntouched()
  })

  it('a client that has closed its half of the connection is answered', async () => {
    const socket = connectSocket({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.end(request({ method: 'POST', path: '/v1/collections/docs/count', headers: [AUTH] }))
    expect(await read(socket)).toContain('{"count":1}')
    socket.destroy()
  })

  it('300 idle connections and a flood of requests leave the server answering', async () => {
    const idle = Array.from({ length: 300 }, () =>
      connectSocket(server.port, '127.0.0.1').on('error', () => undefined),
    )
    const bytes = request({ method: 'POST', path: '/v1/collections/docs/count', headers: [AUTH] })
    const answers = await Promise.all(Array.from({ length: 200 }, () => exchange(server.port, bytes)))
    for (const socket of idle) socket.destroy()
    expect(answers.map(({ status }) => status)).toEqual(Array(200).fill(200))
  })

  it('two requests in one packet are two requests', async () => {
    const one = Buffer.from(
      `POST /v1/collections/docs/count HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${KEYS.admin}\r\n\r\n`,
    )
    const socket = connectSocket(server.port, '127.0.0.1')
    socket.write(
      Buffer.concat([one, request({ method: 'POST', path: '/v1/collections/docs/count', headers: [AUTH] })]),
    )
    let text = ''
    for await (const chunk of socket) text += chunk
    expect(text.match(/\{"count":1\}/g)).toHaveLength(2)
  })
})

describe('sequences', () => {
  it('creating and dropping one name from many sides at once ends in one of the two', async () => {
    const db = await connect(server.url, { key: KEYS.admin })
    const calls = Array.from({ length: 40 }, (_, i) =>
      i % 2
        ? db.drop('torn')
        : db.collection('torn', { dim: 2 }).then(rows => rows.upsert([{ id: i, vector: [1, 2] }])),
    )
    for (const outcome of await Promise.allSettled(calls)) {
      if (outcome.status === 'rejected')
        expect(['DRIFT_NO_COLLECTION', 'DRIFT_DROPPED']).toContain(outcome.reason.code)
    }
    await db.drop('torn')
    await assertUntouched()
  })
})

it('the database opens again with what it held', async () => {
  await server.close()
  await using db = await Drift.open(folder)
  const docs = await db.collection('docs')
  expect(await docs.count()).toBe(1)
  expect(await docs.get('kept')).toEqual(ROW)
})
