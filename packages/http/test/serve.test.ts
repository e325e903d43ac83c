// Proves: a server is safe as it starts, drains when it is told to, sheds what it cannot do in time, and loses no acknowledged write when
// it is killed.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect as connectTcp, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect } from '@drift/client'
import { encodeFrame, FRAME_TYPE } from '@drift/client/wire'
import { Drift } from '@drift/server'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Gate } from '../src/gate.js'
import { type AnswerEntry, createHandler, createKey, serve } from '../src/index.js'
import { Turn } from '../src/turn.js'
import { randomVectors, started, temporaryFolder } from './fixture.js'
import { exchange, request as rawRequest } from './hostile/socket.js'

const JSON_HEADERS = { 'content-type': 'application/json' }

describe('bodies', () => {
  const dim = 128
  const count = 500
  const vectors = randomVectors(count, dim, 9)
  const frame = Buffer.from(
    encodeFrame(count, dim, { ids: Array.from({ length: count }, (_, i) => i) }, vectors),
  )

  it.each([
    ['as long as it says, in pieces', { 'content-length': frame.length }],
    ['without a length, in pieces', {}],
  ])('a frame %s, is what was sent', async (_, length) => {
    const { url, db } = await started()
    const docs = await db.collection('rows', { dim, metric: 'l2' })
    const sent = request(`${url}/v1/collections/rows/points`, {
      method: 'PUT',
      headers: { 'content-type': FRAME_TYPE, ...length },
    })
    const answered = once(sent, 'response')
    for (let at = 0, size = 1; at < frame.length; at += size, size = (size * 7) % 65_521) {
      if (!sent.write(frame.subarray(at, Math.min(frame.length, at + size)))) await once(sent, 'drain')
    }
    sent.end()
    const [answer] = (await answered) as [IncomingMessage]
    expect(answer.statusCode).toBe(200)
    answer.resume()
    for (const id of [0, 1, 250, count - 1]) {
      expect((await docs.get(id))?.vector).toEqual(vectors.slice(id * dim, (id + 1) * dim))
    }
    expect(await docs.count()).toBe(count)
  })

  it.each([
    ['by its length', { 'content-length': String(frame.length) }],
    ['in pieces', { 'transfer-encoding': 'chunked' }],
  ])('one that is too large is refused, %s', async (_, headers) => {
    const { port, db } = await started({ limits: { binaryBytes: 100_000 } })
    await db.collection('rows', { dim, metric: 'l2' })
    const piece = Buffer.concat([Buffer.from('10000\r\n'), frame.subarray(0, 65_536), Buffer.from('\r\n')])
    const bytes = Buffer.concat([
      Buffer.from(
        `PUT /v1/collections/rows/points HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${FRAME_TYPE}\r\n` +
          `${Object.entries(headers)
            .map(([name, value]) => `${name}: ${value}`)
            .join('\r\n')}\r\n\r\n`,
      ),
      ...('content-length' in headers ? [] : [piece, piece]),
    ])
    expect(await exchange(port, bytes)).toMatchObject({ status: 413, code: 'DRIFT_BODY_TOO_LARGE' })
  })

  it('the payloads in a frame may be longer than a JSON body, so that a client needs no smaller batches', async () => {
    const { url, db } = await started({ limits: { jsonBytes: 1024 } })
    await db.collection('docs', { dim: 2 })
    const body = encodeFrame(
      1,
      2,
      { ids: [1], payloads: [{ text: 'x'.repeat(4096) }] },
      new Float32Array([1, 2]),
    )
    const headers = { 'content-type': FRAME_TYPE }
    const answer = await fetch(`${url}/v1/collections/docs/points`, { method: 'PUT', headers, body })
    expect(answer.status).toBe(200)
  })

  it('the JSON in a frame has a bound of its own, since it is parsed in one step', async () => {
    const { url, db } = await started({ limits: { metaBytes: 1024 } })
    const docs = await db.collection('docs', { dim: 2 })
    const put = (text: string): Promise<Response> =>
      fetch(`${url}/v1/collections/docs/points`, {
        method: 'PUT',
        headers: { 'content-type': FRAME_TYPE },
        body: encodeFrame(1, 2, { ids: [1], payloads: [{ text }] }, new Float32Array([1, 2])),
      })
    const rest = JSON.stringify({ ids: [1], payloads: [{ text: '' }] }).length
    expect((await put('x'.repeat(1024 - rest))).status).toBe(200)
    const refused = await put('x'.repeat(1025 - rest))
    expect([refused.status, await refused.json()]).toMatchObject([
      413,
      { error: { code: 'DRIFT_BODY_TOO_LARGE', details: { limit: 1024 } } },
    ])
    expect(await docs.count()).toBe(1)
  })

  it('a database that is open to be read is ready', async () => {
    const folder = temporaryFolder()
    await (await Drift.open(folder)).close()
    const db = await Drift.open(folder, { readOnly: true })
    onTestFinished(() => db.close())
    const { url } = await started({ db })
    const answer = await fetch(`${url}/readyz`)
    expect([answer.status, await answer.json()]).toEqual([200, { ready: true }])
  })
})

describe('a backup folder that cannot be made', () => {
  it.each([
    ['is a file', 'file'],
    ['is below a file', 'file/below/it'],
    ['is a link that leads nowhere', 'link'],
  ])('because it %s, is told before anything is opened', async (_, name) => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'file'), '')
    symlinkSync(join(folder, 'nowhere'), join(folder, 'link'))
    const options = { db: join(folder, 'db'), port: 0, logger: false, backupFolder: join(folder, name) }
    await expect(serve(options)).rejects.toMatchObject({
      code: 'DRIFT_OPTION',
      details: { option: 'backupFolder' },
    })
    expect(readdirSync(folder).sort()).toEqual(['file', 'link'])
  })

  it('is the only one that is refused: one that is yet to be made is made by the first backup', async () => {
    const folder = temporaryFolder()
    const backupFolder = join(folder, 'some', 'where')
    const { url } = await started({ db: join(folder, 'db'), backupFolder })
    expect(readdirSync(folder)).toEqual(['db'])
    const answer = await fetch(`${url}/v1/backups`, {
      method: 'POST',
      headers: JSON_HEADERS,
      body: '{"name":"monday"}',
    })
    expect([answer.status, existsSync(join(backupFolder, 'monday', 'FORMAT'))]).toEqual([200, true])
  })
})

describe('safe by default', () => {
  it.each([
    [{ host: '0.0.0.0' }],
    [{ host: '::' }],
    [{ host: '0.0.0.0', insecureNoKeys: true }],
    [{ host: '0.0.0.0', keys: [] }],
    [{ host: 'example.org', insecurePlaintext: true }],
  ])('%o is refused before anything is opened', async options => {
    const path = join(temporaryFolder(), 'never-made')
    await expect(serve({ db: path, port: 0, logger: false, ...options })).rejects.toMatchObject({
      code: 'DRIFT_INSECURE',
    })
    expect(existsSync(path)).toBe(false)
  })

  it('says what was given in the place of keys', async () => {
    const options = { db: join(temporaryFolder(), 'never-made'), port: 0, logger: false }
    for (const [keys, shown] of [
      [{ id: 'a' }, 'an object'],
      ['keys.json', 'keys.json'],
    ])
      await expect(serve({ ...options, keys } as never)).rejects.toMatchObject({
        code: 'DRIFT_OPTION',
        message: `keys is ${shown}, expected an array of keys`,
      })
  })

  it.each([
    [{ limit: { rows: 10 } }, 'DRIFT_UNKNOWN_OPTION'],
    [{ timeouts: { requestsMs: 1 } }, 'DRIFT_UNKNOWN_OPTION'],
    [{ draining: () => true }, 'DRIFT_UNKNOWN_OPTION'],
    [{ port: '7700' }, 'DRIFT_OPTION'],
    [{ port: 70_000 }, 'DRIFT_OPTION'],
    [{ db: undefined }, 'DRIFT_OPTION'],
  ])('what nobody knows or can use is refused before anything is opened: %o', async (options, code) => {
    const path = join(temporaryFolder(), 'never-made')
    const all = { db: path, port: 0, logger: false, ...options }
    await expect(serve(all as never)).rejects.toMatchObject({ code })
    expect(existsSync(path)).toBe(false)
  })

  it('with a full disk is ready: reads and deletes go on', async () => {
    const { url, db } = await started({
      db: temporaryFolder(),
      open: { minFreeBytes: Number.MAX_SAFE_INTEGER },
    })
    await expect(db.collection('docs', { dim: 1 })).rejects.toMatchObject({ code: 'DRIFT_DISK_FULL' })
    expect((await db.stats()).state).toBe('full')
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
  })

  it('a handler with an option that nobody knows is not made', async () => {
    const db = await Drift.open(':memory:')
    onTestFinished(() => db.close())
    const make = () => createHandler(db, { open: true, limit: { rows: 10 } } as never)
    expect(make).toThrow(expect.objectContaining({ code: 'DRIFT_UNKNOWN_OPTION' }))
  })

  it.each(['*', 'null', 'app.example.com', 'https://app.example.com/', 'https://app.example.com/page'])(
    'origins are named one by one: %o is refused',
    async origin => {
      await expect(started({ origins: [origin] })).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
    },
  )

  it('only a page of an origin that is named is told that it may call, and it still needs a key', async () => {
    const { key, hash } = createKey()
    const { url } = await started({
      keys: [{ id: 'k', hash, scope: 'admin' }],
      origins: ['https://app.example.com'],
    })
    const ask = (origin: string, init: RequestInit = {}) =>
      fetch(`${url}/v1/collections`, { ...init, headers: { ...init.headers, origin } })
    const preflight = { method: 'OPTIONS', headers: { 'access-control-request-method': 'PUT' } }
    const allowed = 'access-control-allow-origin'
    const named = await ask('https://app.example.com', preflight)
    expect([named.status, named.headers.get(allowed)]).toEqual([204, 'https://app.example.com'])
    expect(named.headers.get('access-control-allow-credentials')).toBe(null)
    expect((await ask('https://evil.example', preflight)).headers.get(allowed)).toBe(null)
    expect((await ask('https://app.example.com')).status).toBe(401)
    const answer = await ask('https://app.example.com', { headers: { authorization: `Bearer ${key}` } })
    expect([answer.status, answer.headers.get(allowed)]).toEqual([200, 'https://app.example.com'])
    const silent = await started()
    const other = await fetch(`${silent.url}/v1/collections`, {
      headers: { origin: 'https://app.example.com' },
    })
    expect(other.headers.get(allowed)).toBe(null)
  })

  it('without keys, a page that reaches it under another name is refused', async () => {
    const { port } = await started()
    expect((await fetch(`http://127.0.0.1:${port}/v1/collections`)).status).toBe(200)
    const bytes = rawRequest({ method: 'GET', path: '/v1/collections', headers: [['host', 'evil.example']] })
    expect(await exchange(port, bytes)).toMatchObject({ status: 403, code: 'DRIFT_HOST' })
  })

  it('is answered under the names that it was given, however they are written', async () => {
    const { port } = await started({ hosts: ['Drift.Example', '[::1]'] })
    const statusFor = async (host: string): Promise<number> =>
      (
        await exchange(
          port,
          rawRequest({ method: 'GET', path: '/v1/collections', headers: [['host', host]] }),
        )
      ).status
    expect(await statusFor('drift.example')).toBe(200)
    expect(await statusFor(`DRIFT.example:${port}`)).toBe(200)
    expect(await statusFor(`[::1]:${port}`)).toBe(200)
    expect(await statusFor('127.0.0.1')).toBe(403)
  })

  it('keys are told apart, and failed logins are refused sooner but keep out nobody who has a key', async () => {
    const { key, hash } = createKey()
    const { url } = await started({
      keys: [{ id: 'k', hash, scope: 'admin' }],
      limits: { failedLoginsPerMinute: 3 },
    })
    const ask = async (presented: string): Promise<number> =>
      (await fetch(`${url}/v1/collections`, { headers: { authorization: `Bearer ${presented}` } })).status
    expect(await ask(key)).toBe(200)
    expect([await ask('x'), await ask('x'), await ask('x'), await ask('x')]).toEqual([401, 401, 401, 429])
    // Behind a proxy whoever fails has the same address.
    expect(await ask(key)).toBe(200)
  })

  it('a caller gets its share of requests and no more', async () => {
    const { url } = await started({ limits: { requestsPerSecond: 5 } })
    const answers = await Promise.all(Array.from({ length: 12 }, () => fetch(`${url}/v1/collections`)))
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused.length).toBeGreaterThan(0)
    expect(refused[0]?.headers.get('retry-after')).toBe('1')
    expect(await refused[0]?.json()).toMatchObject({ error: { code: 'DRIFT_RATE_LIMIT' } })
  })

  it('logs name the caller, the route and the code, and hold no ids, vectors, payloads or keys', async () => {
    const { key, hash } = createKey()
    const entries: AnswerEntry[] = []
    const { url } = await started({
      keys: [{ id: 'me', hash, scope: 'admin' }],
      onAnswer: entry => void entries.push(entry),
    })
    const db = await connect(url, { key })
    const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
    await docs.upsert([{ id: 'secret-id', vector: [1234.5], payload: { secret: 'word' } }])
    await fetch(`${url}/v1/collections/docs/points/secret-id`, {
      headers: { authorization: `Bearer ${key}` },
    })
    await docs.upsert([{ id: 'secret-id', vector: ['secret' as never] }]).catch(() => undefined)
    const text = JSON.stringify(entries)
    expect(entries.at(-1)).toMatchObject({
      caller: 'me',
      collection: 'docs',
      status: 400,
      code: 'DRIFT_VECTOR_VALUE',
    })
    for (const secret of ['secret', 'word', '1234', key]) expect(text).not.toContain(secret)
  })
})

describe('a call that takes long', () => {
  it('is no connection on which nothing happens, and its connection is one again afterwards', async () => {
    const idleMs = 300
    const db = await Drift.open(':memory:')
    onTestFinished(() => db.close())
    let checks = 0
    const check = db.check.bind(db)
    // As of a large database.
    db.check = async options => {
      checks++
      await new Promise(resolve => setTimeout(resolve, 4 * idleMs))
      return check(options)
    }
    const { port } = await started({ db, timeouts: { idleMs } })
    const socket = connectTcp(port, '127.0.0.1')
    const closed = once(socket, 'close')
    socket.write('POST /v1/check HTTP/1.1\r\nhost: localhost\r\n\r\n')
    let text = ''
    socket.on('data', bytes => (text += bytes))
    await closed
    expect(text).toMatch(/^HTTP\/1\.1 200 OK/)
    expect(checks).toBe(1)
  })
})

describe('operations', () => {
  it('metrics count requests by operation and show the database', async () => {
    const { url, db } = await started()
    const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
    await docs.upsert([{ id: 'a', vector: [1, 2] }])
    await (await connect(url)).collection('docs').then(rows => rows.search([1, 2]))
    const text = await (await fetch(`${url}/metrics`)).text()
    expect(text).toMatch(/drift_http_request_seconds_count\{operation="search",status="200"\} 1/)
    expect(text).toMatch(/drift_collection_rows\{collection="docs"\} 1/)
    expect(text).toMatch(/drift_collection_disk_bytes\{collection="docs"\} 0/)
    // A metric has one unit, which its name ends with; of figures of several no metric is made.
    expect(text).not.toMatch(/\bfigure="/)
    expect(text).toMatch(/drift_memory_bytes\{collection="docs",slab="\w+"\} \d+/)
    expect(text).toMatch(/drift_up 1/)
    expect(text).toMatch(/nodejs_eventloop_lag_p99_seconds/)
  })

  it('metrics tell the recall that was measured, and count what healing did', async () => {
    const db = await Drift.open(':memory:', { shadow: 1, maintenance: 'manual' })
    onTestFinished(() => db.close())
    const server = await serve({ db, port: 0, logger: false })
    onTestFinished(() => server.close())
    const docs = await db.collection('docs', { dim: 2, metric: 'l2', memtableRows: 256 })
    const ids = Array.from({ length: 2_000 }, (_, id) => id)
    const vectors = Float32Array.from(ids.flatMap(id => [Math.sin(id), Math.cos(3 * id)]))
    await docs.upsert({ ids, vectors })
    await docs.flush()
    for (let i = 0; i < 40; i++) await docs.search([Math.sin(i), 0])
    await docs.delete(ids.filter(id => id % 4 > 0))
    await docs.flush()
    // Measures the queries that wait, and heals what the deletes left behind.
    await docs.maintain()
    const text = await (await fetch(`${server.url}/metrics`)).text()
    for (const figure of ['measured_ratio', 'low95_ratio', 'high95_ratio', 'samples'])
      expect(text).toMatch(
        new RegExp(`drift_recall_${figure}\\{collection="docs",k="10",target="0.95"\\} [0-9]`),
      )
    expect(text).toMatch(/drift_maintenance_operations_total\{collection="docs",kind="\w+"\} [1-9]/)
    expect(text).toMatch(/drift_failing 0/)
  })

  it('a full queue is answered 429, a long wait in it 503', async () => {
    const gate = new Gate('search', { running: 1, waiting: 1, waitMs: 20 })
    let finish = (): void => undefined
    const first = gate.run(() => new Promise<void>(resolve => (finish = resolve)))
    const second = gate.run(async () => undefined)
    await expect(gate.run(async () => undefined)).rejects.toMatchObject({
      code: 'DRIFT_QUEUE_FULL',
      statusCode: 429,
    })
    await expect(second).rejects.toMatchObject({ code: 'DRIFT_OVERLOADED', statusCode: 503, retryAfter: 1 })
    finish()
    await first
    expect([gate.running, gate.waiting]).toEqual([0, 0])
    expect(await gate.run(async () => 7)).toBe(7)
  })

  it('searches that come at once let the event loop turn between them', async () => {
    const turn = new Turn(60_000)
    const gate = new Gate('search', { running: 16, waiting: 16, waitMs: 60_000, turn })
    let turns = 0
    let isOver = false
    setImmediate(function count() {
      turns++
      if (!isOver) setImmediate(count)
    })
    const held: number[] = []
    const hold = (i: number) => async (): Promise<void> => {
      const end = performance.now() + 6
      while (performance.now() < end);
      held.push(i)
    }
    await Promise.all(Array.from({ length: 8 }, (_, i) => gate.run(hold(i))))
    isOver = true
    expect(turns).toBeGreaterThanOrEqual(3)
    expect(held).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect([gate.running, gate.waiting, gate.expectedMs]).toEqual([0, 0, 0])
  })

  it('a search may wait for a while, and much less of it after one that would have waited too long', () => {
    const turn = new Turn(250)
    expect([turn.isTooLong(101), turn.isTooLong(251), turn.isTooLong(101), turn.isTooLong(99)]).toEqual([
      false,
      true,
      true,
      false,
    ])
  })

  it('searches that come together with more work than can be done in time are refused, and served again after it', async () => {
    const { port, db } = await started({
      limits: { queueMs: 20 },
      routes(app) {
        app.get('/work', { config: { scope: 'read' } as object }, async () => {
          const end = performance.now() + 100
          while (performance.now() < end);
          return {}
        })
      },
    })
    await db.collection('docs', { dim: 1, metric: 'l2' })
    const sockets = await Promise.all(Array.from({ length: 8 }, () => openSocket(port)))
    const json = '{"query":[1]}'
    const head = `host: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${json.length}`
    const search = `POST /v1/collections/docs/search HTTP/1.1\r\n${head}\r\n\r\n${json}`
    const work = 'GET /work HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'
    const together = async (first: string): Promise<string[]> => {
      // Written in one turn, so that the server meets all of them in one.
      const answers = sockets.map(socket => once(socket, 'data'))
      for (const [i, socket] of sockets.entries()) socket.write(i === 0 ? first : search)
      return (await Promise.all(answers)).map(([bytes]) => String(bytes))
    }
    await together(search) // All connections are accepted now.
    const [done, ...refused] = await together(work)
    expect(done).toMatch(/^HTTP\/1.1 200/)
    for (const answer of refused) {
      expect(answer).toMatch(/^HTTP\/1.1 503/)
      expect(answer).toMatch(/retry-after: 1\r\n/)
      expect(answer).toContain('DRIFT_OVERLOADED')
    }
    for (const socket of sockets) socket.destroy()
    expect((await exchange(port, search)).status).toBe(200)
  })

  it('close lets a request under way finish and refuses new ones', async () => {
    const server = await started()
    await server.db.collection('docs', { dim: 1, metric: 'l2' })
    const body = JSON.stringify({ rows: [{ id: 1, vector: [1] }] })
    const asking = request(`${server.url}/v1/collections/docs/points`, {
      method: 'PUT',
      headers: { ...JSON_HEADERS, 'content-length': body.length, expect: '100-continue' },
    })
    asking.flushHeaders()
    // The server has the headers, and waits for the body.
    await once(asking, 'continue')
    const closing = server.close()
    asking.end(body)
    const [answer] = (await once(asking, 'response')) as [IncomingMessage]
    expect(answer.statusCode).toBe(200)
    answer.resume()
    await closing
    await expect(fetch(`${server.url}/livez`)).rejects.toThrow()
  })
})

describe('a server of its own process', () => {
  it('ends with 0 after SIGTERM', async () => {
    const { child, url } = await spawned(temporaryFolder())
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    child.kill('SIGTERM')
    expect((await once(child, 'exit'))[0]).toBe(0)
  })

  it('that is killed while writing has every write that it acknowledged', async () => {
    const folder = temporaryFolder()
    let acknowledged = 0
    for (let round = 0; round < 3; round++) {
      const { child, url } = await spawned(folder)
      const db = await connect(url, { retries: 0 })
      const docs = await db.collection('docs', { dim: 8, metric: 'l2' })
      const enough = acknowledged + 15 + round * 10
      for (let broken = false; !broken; ) {
        const first = acknowledged
        const ids = Array.from({ length: 20 }, (_, i) => first * 20 + i)
        const writing = docs.upsert({
          ids,
          vectors: Float32Array.from({ length: 160 }, (_, i) => first * 20 + (i >> 3)),
        })
        if (acknowledged >= enough) child.kill('SIGKILL')
        await writing.then(
          () => void acknowledged++,
          () => {
            broken = true
          },
        )
      }
      await db.close()
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    }
    await using db = await Drift.open(folder)
    const docs = await db.collection('docs')
    const rows = await docs.count()
    expect(rows % 20).toBe(0)
    expect(rows).toBeGreaterThanOrEqual(acknowledged * 20)
    for (let id = 0; id < acknowledged * 20; id++) expect((await docs.get(id))?.vector[7]).toBe(id)
  })
})

async function openSocket(port: number): Promise<Socket> {
  const socket = connectTcp(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

async function spawned(folder: string): Promise<{ child: ChildProcess; url: string }> {
  const program = new URL('server.mjs', import.meta.url).pathname
  const child = spawn(process.execPath, [program, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [line] = (await once(child.stdout!, 'data')) as [Buffer]
  return { child, url: String(line).trim() }
}
