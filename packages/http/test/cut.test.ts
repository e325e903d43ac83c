// Proves: an answer that ends before its end is in the log and in the metrics once, with the status that was sent and the code of
// what cut it, whoever did: the engine in the middle of a stream, or a client that goes away, also before its answer has begun.
import { EventEmitter, once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { Writable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { ARROW_TYPE } from '@drift/client/wire'
import { Drift } from '@drift/server'
import { expect, it } from 'vitest'
import { type AnswerEntry, createHandler, type DriftServer } from '../src/index.js'
import { started } from './fixture.js'

/** Together more than a connection holds that nobody reads, and several batches of Arrow. */
const ROWS = 600
const DIM = 4_096
const payload = { text: 'x'.repeat(20_000) }
const ids = Array.from({ length: ROWS }, (_, id) => id)

interface Served extends DriftServer {
  /** The first that `onAnswer` is told of. */
  readonly entry: Promise<AnswerEntry>
  readonly entries: AnswerEntry[]
  /** Lines of the log. */
  readonly lines: Record<string, unknown>[]
}

async function withRows(): Promise<Served> {
  const entries: AnswerEntry[] = []
  const lines: Record<string, unknown>[] = []
  const stream = new Writable({
    write(line, _, done) {
      lines.push(JSON.parse(String(line)))
      done()
    },
  })
  const told = new EventEmitter()
  const entry = once(told, 'answer').then(([first]) => first as AnswerEntry)
  const server = await started({
    logger: { level: 'info', stream },
    onAnswer: answer => {
      entries.push(answer)
      told.emit('answer', answer)
    },
  })
  await fill(server.db)
  return { ...server, entry, entries, lines }
}

async function fill(db: Drift): Promise<void> {
  const docs = await db.collection('rows', { dim: DIM, metric: 'l2' })
  await docs.upsert({ ids, vectors: new Float32Array(ROWS * DIM), payloads: ids.map(() => payload) })
}

/** Of an answer that has begun, and of which no more than its beginning was read. */
async function begun(url: string, path: string, body: object, accept?: string): Promise<IncomingMessage> {
  const sent = request(`${url}/v1/collections/rows/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(accept === undefined ? {} : { accept }) },
  })
  sent.end(JSON.stringify(body))
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  await once(answer, 'readable')
  return answer
}

const streams: [string, string, string, object, string?][] = [
  ['a scan', 'scan', 'scan', {}],
  ['rows by many ids', 'getPoints', 'points/get', { ids }],
  ['a scan as Arrow', 'scan', 'scan', {}, ARROW_TYPE],
]

async function metricsOf(url: string): Promise<string[]> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return text.split('\n').filter(line => /^drift_http_(cut_total|request_seconds_count)/.test(line))
}

it.each(streams)(
  '%s that the engine ends half way is logged with its code',
  async (_, operation, ...asked) => {
    const { url, db, entry, entries, lines } = await withRows()
    const answer = await begun(url, ...asked)
    await db.drop('rows')
    answer.on('error', () => undefined).resume()
    const code = 'DRIFT_DROPPED'
    expect(await entry).toMatchObject({ status: 200, code, cut: true })
    expect(await metricsOf(url)).toEqual([
      `drift_http_request_seconds_count{operation="${operation}",status="200"} 1`,
      `drift_http_cut_total{operation="${operation}",code="${code}"} 1`,
    ])
    expect(entries.filter(({ route }) => route !== '/metrics')).toHaveLength(1)
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'cut', status: 200, code, cut: true }))
  },
)

it.each(streams)('%s whose client goes is logged as cancelled', async (_, operation, ...asked) => {
  const { url, entry, entries } = await withRows()
  const answer = await begun(url, ...asked)
  answer.on('error', () => undefined).destroy()
  expect(await entry).toMatchObject({ status: 200, code: 'DRIFT_CANCELLED', cut: true })
  expect(await metricsOf(url)).toEqual([
    `drift_http_request_seconds_count{operation="${operation}",status="200"} 1`,
    `drift_http_cut_total{operation="${operation}",code="DRIFT_CANCELLED"} 1`,
  ])
  expect(entries.filter(({ route }) => route !== '/metrics')).toHaveLength(1)
})

it('a client that goes before its answer has begun is a 499, and nothing was cut', async () => {
  const { url, entry, entries } = await withRows()
  const sent = request(`${url}/v1/collections/rows/count`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': 100 },
  })
  sent.on('error', () => undefined)
  await new Promise(resolve => sent.write('{', resolve))
  sent.destroy()
  expect(await entry).toMatchObject({ status: 499, code: 'DRIFT_CANCELLED', cut: undefined })
  expect(await metricsOf(url)).toEqual(['drift_http_request_seconds_count{operation="count",status="499"} 1'])
  expect(entries.filter(({ route }) => route !== '/metrics')).toHaveLength(1)
})

it('an answer that closing the server does not wait for is logged as that', async () => {
  const { url, entry, close } = await withRows()
  const answer = await begun(url, 'scan', {})
  answer.on('error', () => undefined)
  await close({ graceMs: 10 })
  // Whichever comes upon it first: the connection's end, or the database's.
  const code = expect.stringMatching(/^DRIFT_(DRAINING|CLOSED)$/)
  expect(await entry).toMatchObject({ status: 200, code, cut: true })
})

it('a reader of a fetched answer that leaves it is told of as well', async () => {
  await using db = await Drift.open(':memory:')
  await fill(db)
  const told = new EventEmitter()
  const entry = once(told, 'answer')
  const handler = createHandler(db, { open: true, onAnswer: answer => void told.emit('answer', answer) })
  const answer = await handler.fetch(
    new Request('http://localhost/v1/collections/rows/scan', { method: 'POST' }),
  )
  const reader = answer.body!.getReader()
  await reader.read()
  await reader.cancel()
  expect(await entry).toMatchObject([{ status: 200, code: 'DRIFT_CANCELLED', cut: true }])
  await handler.close()
})

it.each([
  [
    'throws',
    () => {
      throw new Error('of the host')
    },
  ],
  [
    'rejects',
    async () => {
      await setImmediate()
      throw new Error('of the host')
    },
  ],
] as const)('an onAnswer that %s ends nothing, and is in the log', async (_, onAnswer) => {
  const messages: unknown[] = []
  const logged = new EventEmitter()
  const stream = new Writable({
    write(line, _, done) {
      const { msg } = JSON.parse(String(line))
      messages.push(msg)
      if (msg === 'onAnswer threw') logged.emit('it')
      done()
    },
  })
  const { url, db } = await started({ logger: { level: 'info', stream }, onAnswer })
  await fill(db)
  const whole = once(logged, 'it')
  expect((await fetch(`${url}/v1/collections`)).status).toBe(200)
  await whole
  const cut = once(logged, 'it')
  const answer = await begun(url, 'scan', {})
  answer.on('error', () => undefined).destroy()
  await cut
  expect(messages.filter(message => message !== 'onAnswer threw').slice(-2)).toEqual(['answered', 'cut'])
})
