// Proves: what is held for a request is given back, and its end is told once, also when its client goes where Node tells its answer of
// nothing: in a pipeline behind another, while the host's own `authenticate` is waited for, or before a hook of the host's let it in.
import { EventEmitter, once } from 'node:events'
import { request, ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { Drift } from '@drift/server'
import fastify from 'fastify'
import { expect, it } from 'vitest'
import { type AnswerEntry, driftPlugin } from '../src/index.js'
import { started } from './fixture.js'

const DIM = 1_024
const ROWS = 4_000
const json = { 'content-type': 'application/json' }
/** More than half of it each: one that is held refuses the next. */
const limits = { jsonBytes: 1_000, binaryBytes: 1_000, bytesInFlight: 1_000 }
const body = JSON.stringify({ filter: { a: 'x'.repeat(600) } })

/** Sends the head and a byte of the body, and goes when `asked` says so; over when the server has seen it go. */
async function leaves(url: string, asked: EventEmitter): Promise<void> {
  const sent = request(`${url}/v1/collections/rows/count`, {
    method: 'POST',
    headers: { ...json, 'content-length': body.length },
  })
  sent.on('error', () => undefined).write('{')
  const [closed] = (await once(asked, 'asked')) as [Promise<unknown>]
  sent.destroy()
  await closed
}

async function status(url: string): Promise<number> {
  return (await fetch(`${url}/v1/collections/rows/count`, { method: 'POST', headers: json, body })).status
}

it('answers that wait in a pipeline end with their connection', async () => {
  const entries: AnswerEntry[] = []
  const told = new EventEmitter()
  const { url, db } = await started({
    onAnswer: entry => {
      if (entries.push(entry) === 12) told.emit('all')
    },
  })
  const docs = await db.collection('rows', { dim: DIM, metric: 'l2' })
  const ids = Array.from({ length: ROWS }, (_, id) => id)
  await docs.upsert({ ids, vectors: new Float32Array(ROWS * DIM) })
  const warnings: Error[] = []
  const warned = (warning: Error): unknown => warnings.push(warning)
  process.on('warning', warned)
  const { host, hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const call = (path: string): string =>
    `POST /v1/collections/rows/${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`
  socket.write(call('scan') + call('scan') + call('count').repeat(10))
  await once(socket, 'readable')
  const all = once(told, 'all')
  socket.destroy()
  await all
  process.off('warning', warned)
  expect(warnings).toEqual([])
  expect(entries.map(({ code }) => code)).toEqual(Array(12).fill('DRIFT_CANCELLED'))
  const metrics = await (await fetch(`${url}/metrics`)).text()
  expect(metrics).toContain('drift_http_queue{kind="long",state="running"} 0')
})

it('a client that goes while it is asked who it is holds nothing', async () => {
  const asked = new EventEmitter()
  const sockets = new EventEmitter()
  let isFirst = true
  const entries: AnswerEntry[] = []
  const { url } = await started({
    limits,
    onAnswer: entry => {
      entries.push(entry)
      sockets.emit('gone')
    },
    authenticate: async () => {
      if (isFirst) {
        isFirst = false
        const gone = once(sockets, 'gone')
        asked.emit('asked', gone)
        await gone
      }
      return { id: 'somebody', scope: 'admin', collections: ['*'] }
    },
  })
  await leaves(url, asked)
  expect(await status(url)).toBe(404)
  expect(entries.map(({ status }) => status)).toEqual([499, 404])
})

it('a client that goes while a hook of the host has it holds nothing', async () => {
  await using db = await Drift.open(':memory:')
  const asked = new EventEmitter()
  const entries: AnswerEntry[] = []
  const told = new EventEmitter()
  const app = fastify()
  let isFirst = true
  app.addHook('onRequest', async (_, reply) => {
    if (!isFirst) return
    isFirst = false
    const gone = once(reply.raw, 'close')
    asked.emit('asked', once(told, 'answer'))
    await gone
  })
  await app.register(driftPlugin, {
    db,
    open: true,
    limits,
    onAnswer: entry => {
      entries.push(entry)
      told.emit('answer')
    },
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  await leaves(url, asked)
  expect(await status(url)).toBe(404)
  expect(entries.map(({ status }) => status)).toEqual([499, 404])
  await app.close()
})

it('a connection that a route of the host takes for itself is told of as switched, not as cancelled', async () => {
  await using db = await Drift.open(':memory:')
  const told = new EventEmitter()
  const app = fastify()
  await app.register(driftPlugin, {
    db,
    open: true,
    routes(scope) {
      scope.get('/echo', (request, reply) => {
        reply.hijack()
        const { socket } = request.raw
        socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n')
        socket.pipe(socket)
      })
    },
    onAnswer: entry => void told.emit('answer', entry),
  })
  // As @fastify/websocket does.
  app.server.on('upgrade', (raw, socket) => {
    const response = new ServerResponse(raw)
    response.assignSocket(socket as Socket)
    app.routing(raw, response)
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const sent = request(`${url}/echo`, { headers: { connection: 'upgrade', upgrade: 'echo' } }).end()
  const [, socket] = (await once(sent, 'upgrade')) as [unknown, Socket]
  const answer = once(told, 'answer')
  socket.write('both ways')
  expect(String((await once(socket, 'data'))[0])).toBe('both ways')
  socket.end()
  const [entry] = (await answer) as [AnswerEntry]
  expect(entry).toMatchObject({ route: '/echo', status: 101, code: undefined, cut: undefined })
  const metrics = await (await fetch(`${url}/metrics`)).text()
  expect(metrics).not.toContain('status="499"')
  await app.close()
})
