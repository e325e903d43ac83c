// Proves: the command line does to a folder and to a server the same, makes no database where there is none, and says
// with its exit code how it went; `serve` takes its options from three places and stops as it is told to.
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connect as connectClient } from '@drift/client'
import { createKey, serve } from '@drift/http'
import { Drift } from '@drift/server'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { EXIT } from '../src/index.js'
import { drift, file, folder, start } from './fixture.js'

describe.each(['folder', 'server'])('on a %s', kind => {
  it('creates, imports, queries, exports, shows and drops', async () => {
    const path = join(folder, `db-${kind}`)
    const server = kind === 'server' ? await serve({ db: path, port: 0, logger: false }) : undefined
    const db = server?.url ?? path
    expect(await drift('create', db, 'docs', '--dim', '2', '--metric', 'l2')).toMatchObject({ code: 0 })
    const lines = [
      { id: 'a', vector: [1, 2], lang: 'en' },
      { id: 7, vector: [3, 4] },
    ]
    const input = file(`${kind}.jsonl`, lines.map(line => JSON.stringify(line)).join('\n'))
    expect((await drift('--json', 'import', db, 'docs', input)).json).toEqual({
      written: 2,
      rejected: 0,
      skipped: 0,
      stopped: false,
    })
    expect((await drift('--json', 'query', db, 'docs', '[1,2]', '-k', '1', '--payload')).json).toEqual({
      hits: [{ id: 'a', distance: 0, score: -0, payload: { lang: 'en' } }].map(hit =>
        JSON.parse(JSON.stringify(hit)),
      ),
    })
    expect((await drift('--json', 'get', db, 'docs', '7')).json).toEqual({ id: 7, vector: [3, 4] })
    const near = await drift('query', db, 'docs', 'id:7', '--filter', '{"lang":"en"}', '--recall', '1')
    expect(near.out).toBe('a\t8')
    expect((await drift('count', db, 'docs', '--filter', '{"lang":"en"}')).out).toBe('1')
    for (const verb of ['flush', 'maintain']) expect((await drift(verb, db, 'docs')).code).toBe(0)
    expect((await drift('--json', 'stats', db, 'docs')).json).toMatchObject({ rows: 2, segments: 1 })
    const exported = join(folder, `${kind}-out.jsonl`)
    expect((await drift('export', db, 'docs', exported)).out).toBe('2 rows')
    expect((await drift('export', db, 'docs', exported)).err).toContain('DRIFT_EXPORT_EXISTS')
    expect((await drift('import', db, 'again', exported, '--metric', 'l2')).code).toBe(0)
    expect((await drift('--json', 'get', db, 'again', 'a')).json).toEqual({
      id: 'a',
      vector: [1, 2],
      payload: { lang: 'en' },
    })
    expect((await drift('query', db, 'docs', '\n [3, 4]', '-k', '1')).out).toBe('7\t0')
    expect((await drift('query', db, 'docs', 'seven')).err).toContain('"[0.1, 0.2]", or a row as "id:7"')
    expect((await drift('--json', 'drop', db, 'docs')).json).toEqual({ dropped: true })
    expect(await drift('query', db, 'docs', '[1,2]')).toMatchObject({
      code: 1,
      err: expect.stringContaining('DRIFT_NO_COLLECTION'),
    })
    await server?.close()
  })
})

it('prints each id as get and query take it, and nothing that steers a terminal', async () => {
  const db = join(folder, 'labels')
  const ids = [7, '7', 7n, '7n', '"7"', '{"$bigint":"7"}', 'plain text', 'a\tb\nc', '\u001b[2J\u009b', 'é 😀']
  const lines = ids.map((id, i) => {
    const written = typeof id === 'bigint' ? { $bigint: String(id) } : id
    return JSON.stringify({ id: written, vector: [i, 0] })
  })
  await drift('import', db, 'docs', file('labels.jsonl', lines.join('\n')), '--metric', 'l2')
  const { out } = await drift('query', db, 'docs', '[0,0]', '-k', '20', '--recall', '1')
  const labels = out.split('\n').map(line => line.split('\t')[0]!)
  expect(new Set(labels).size).toBe(ids.length)
  expect(out.replace(/[\t\n]/g, '')).not.toMatch(/\p{Cc}/u)
  for (const [i, label] of labels.entries())
    expect((await drift('--json', 'get', db, 'docs', label)).json).toMatchObject({ vector: [i, 0] })
  expect((await drift('query', db, 'docs', `id:${labels[1]}`, '-k', '1')).out).toBe(`${labels[1]}\t0`)
})

it('names the collection that a key may not see, and those that it may', async () => {
  const { key, hash } = createKey()
  const keys = [{ id: 'app', hash, scope: 'admin' as const, collections: ['docs*'] }]
  const { url, close } = await serve({ db: ':memory:', port: 0, logger: false, keys })
  vi.stubEnv('DRIFT_KEY', key)
  onTestFinished(async () => {
    vi.unstubAllEnvs()
    await close()
  })
  expect((await drift('create', url, 'docs', '--dim', '2')).code).toBe(0)
  expect((await drift('count', url, 'other')).err).toBe(
    `DRIFT_NO_COLLECTION: there is no collection 'other' in ${url}, only docs`,
  )
})

it('makes a collection whose exact vectors are on disk', async () => {
  const db = join(folder, 'cold')
  expect((await drift('create', db, 'docs', '--dim', '2', '--cold', 'disk')).code).toBe(0)
  expect((await drift('--json', 'stats', db, 'docs')).json).toMatchObject({ cold: 'disk' })
  expect((await drift('create', db, 'docs', '--dim', '2', '--cold', 'resident')).err).toContain(
    'DRIFT_COLLECTION_MISMATCH',
  )
  expect(await drift('create', db, 'more', '--dim', '2', '--cold', 'ice')).toMatchObject({ code: 2 })
})

it('makes a collection in a mode of the quantizer', async () => {
  const db = join(folder, 'modes')
  expect((await drift('create', db, 'docs', '--dim', '2', '--quantizer', 'pq')).code).toBe(0)
  expect((await drift('--json', 'stats', db, 'docs')).json).toMatchObject({ quantizer: 'pq' })
  expect((await drift('create', db, 'docs', '--dim', '2', '--quantizer', 'sign')).err).toContain(
    'DRIFT_COLLECTION_MISMATCH',
  )
  expect(await drift('create', db, 'more', '--dim', '2', '--quantizer', 'sq9')).toMatchObject({ code: 2 })
})

describe('arguments that cannot be', () => {
  it.each([
    ['serve', 'nowhere', '--grace', '-5'],
    ['serve', 'nowhere', '--log-level', 'loud'],
    ['bench', 'nowhere', 'docs', '-k', '0'],
    ['bench', 'nowhere', 'docs', '--callers', '0'],
    ['import', 'nowhere', 'docs', 'rows.npy', '--batch', '0'],
    ['query'],
    ['nothing'],
  ])('%s %s %s %s are refused with exit code 2, with --json as one line of JSON', async (...args) => {
    const text = await drift(...args)
    expect([text.code, text.err]).toEqual([EXIT.usage, expect.stringContaining('error:')])
    const { code, err, out } = await drift(...args, '--json')
    expect([code, out, JSON.parse(err)]).toMatchObject([EXIT.usage, '', { error: { code: 'DRIFT_OPTION' } }])
  })

  it.each([
    ['--filter', '{"a":', 'DRIFT_JSON'],
    ['--filter', '[]', 'DRIFT_FILTER'],
    ['--filter', '{"a":{"$near":1}}', 'DRIFT_FILTER'],
  ])('%s %s is refused with exit code 2, whoever takes it', async (option, text, expected) => {
    const db = join(folder, 'unfiltered')
    const rows = file('one.jsonl', '{"id":1,"vector":[1]}')
    await drift('import', db, 'docs', rows)
    for (const command of [
      ['count', db, 'docs'],
      ['query', db, 'docs', '[1]'],
      ['export', db, 'docs', join(folder, 'unfiltered.jsonl')],
    ]) {
      const { code, err } = await drift(...command, option, text)
      expect([code, err]).toEqual([EXIT.usage, expect.stringContaining(expected)])
    }
  })

  it('whatever the engine finds wrong with an argument ends with exit code 2', async () => {
    const db = join(folder, 'unasked')
    await drift('import', db, 'docs', file('two.jsonl', '{"id":1,"vector":[1,0]}'))
    for (const [expected, ...args] of [
      ['DRIFT_K', 'query', db, 'docs', '[1,0]', '-k', '0'],
      ['DRIFT_RECALL', 'query', db, 'docs', '[1,0]', '--recall', '2'],
      ['DRIFT_DIMENSION', 'query', db, 'docs', '[1]'],
      ['DRIFT_VECTOR_VALUE', 'query', db, 'docs', '[1,"a"]'],
      ['DRIFT_ZERO_VECTOR', 'query', db, 'docs', '[0,0]'],
      ['DRIFT_ID', 'get', db, 'docs', '""'],
      ['DRIFT_DIMENSION', 'create', db, 'more', '--dim', '0'],
      ['DRIFT_METRIC', 'create', db, 'more', '--dim', '2', '--metric', 'hamming'],
      ['DRIFT_INDEX', 'create', db, 'more', '--dim', '2', '--indexes', '{"a":"b"}'],
      ['DRIFT_EXPORT_FORMAT', 'export', db, 'docs', join(folder, 'unasked.xyz')],
      ['DRIFT_IMPORT_FORMAT', 'import', db, 'docs', file('unasked.xyz', '')],
      ['DRIFT_URL', 'count', 'ftp://x', 'docs'],
      ['DRIFT_INSECURE', 'serve', join(folder, 'insecure'), '--host', '0.0.0.0'],
    ] as const) {
      const { code, err } = await drift(...args)
      expect([code, err]).toEqual([EXIT.usage, expect.stringMatching(`^${expected}: `)])
    }
  })

  it('a collection that is not there is not dropped, and that is an error with a code', async () => {
    const db = join(folder, 'undropped')
    await drift('create', db, 'docs', '--dim', '1')
    const { code, err } = await drift('drop', db, 'other')
    expect([code, err]).toEqual([EXIT.failed, `DRIFT_NO_COLLECTION: there is no collection 'other' in ${db}`])
  })
})

describe('the command', () => {
  it.each([
    [[]],
    [['nonsense']],
    [['create', 'x', 'y']],
    [['query', 'x']],
    [['create', 'x', 'y', '--dim', 'two']],
  ])('ends with 2 for %j', async args => expect((await drift(...args)).code).toBe(EXIT.usage))

  it('shows its help and version with 0', async () => {
    expect(await drift('--help')).toMatchObject({ code: 0, out: expect.stringContaining('Exit codes') })
    expect(await drift('--version')).toMatchObject({ code: 0, out: '0.1.0' })
  })

  it('makes keys', async () => {
    expect((await drift('--json', 'key')).json).toEqual({
      key: expect.stringMatching(/^drift_.{43}$/),
      hash: expect.stringMatching(/^sha256:/),
    })
  })

  it('takes --json in front of the command and behind it', async () => {
    const db = join(folder, 'db-json')
    const created = { name: 'docs', dim: 2, metric: 'cosine' }
    expect((await drift('--json', 'create', db, 'docs', '--dim', '2')).json).toEqual(created)
    expect((await drift('create', db, 'docs', '--dim', '2', '--json')).json).toEqual(created)
    const refused = await drift('get', db, 'docs', 'nobody', '--json')
    expect([refused.code, JSON.parse(refused.err)]).toEqual([
      EXIT.failed,
      { error: { code: 'DRIFT_NO_POINT', message: expect.stringContaining('nobody'), details: {} } },
    ])
  })

  it('takes an id as it shows it, and digits beyond numbers as the bigint that they are', async () => {
    const db = join(folder, 'db-ids')
    const ids = [7, '7', '7n', { $bigint: '7' }, { $bigint: '9223372036854775807' }]
    const lines = ids.map((id, i) => JSON.stringify({ id, vector: [1, i], payload: { i } }))
    await drift('import', db, 'docs', file('ids.jsonl', lines.join('\n')))
    const found = async (id: string): Promise<unknown> => {
      const { json } = await drift('get', db, 'docs', id, '--json')
      return (json as { payload: { i: number } }).payload.i
    }
    expect(await found('7')).toBe(0)
    expect(await found('"7"')).toBe(1)
    expect(await found('"7n"')).toBe(2)
    expect(await found('7n')).toBe(3)
    expect(await found('9223372036854775807')).toBe(4)
    expect(await found('{"$bigint":"9223372036854775807"}')).toBe(4)
    const { out } = await drift('query', db, 'docs', 'id:9223372036854775807n', '-k', '1')
    expect(out).toMatch(/^9223372036854775807n\t/)
    expect((await drift('get', db, 'docs', '{"$bigint":"x"}')).err).toContain('DRIFT_ID')
  })

  it('makes no database where one was only asked for', async () => {
    const nowhere = join(folder, 'mistyped')
    const commands = [
      ['stats', nowhere],
      ['query', nowhere, 'docs', '[1]'],
      ['count', nowhere, 'docs'],
      ['export', nowhere, 'docs', join(folder, 'nothing.jsonl')],
      ['flush', nowhere, 'docs'],
      ['drop', nowhere, 'docs'],
      ['backup', nowhere, join(folder, 'nothing')],
      ['bench', nowhere, 'docs'],
      ['top', nowhere, '--once'],
    ]
    for (const args of commands)
      expect([args, await drift(...args)]).toEqual([
        args,
        expect.objectContaining({ code: EXIT.failed, err: expect.stringContaining('DRIFT_NO_DATABASE') }),
      ])
    expect(existsSync(nowhere)).toBe(false)
  })

  it('names the collections that are there to who asks for another', async () => {
    const db = join(folder, 'db-names')
    await drift('create', db, 'docs', '--dim', '2')
    expect((await drift('count', db, 'dosc')).err).toContain("no collection 'dosc'")
    expect((await drift('count', db, 'dosc')).err).toContain('only docs')
  })

  it('reads a folder beside the process that writes it, and says what to do when it may not write', async () => {
    const path = join(folder, 'db-beside')
    await using writer = await Drift.open(path)
    const docs = await writer.collection('docs', { dim: 2, metric: 'l2' })
    await docs.upsert([{ id: 1, vector: [1, 2] }])
    expect((await drift('count', path, 'docs')).out).toBe('1')
    expect(await drift('check', path)).toMatchObject({
      code: EXIT.done,
      out: expect.stringMatching(/^ok: /m),
    })
    const rows = file('beside.jsonl', '{"id":1,"vector":[1,2]}')
    for (const args of [
      ...['flush', 'maintain', 'compact', 'drop'].map(command => [command, path, 'docs']),
      ['create', path, 'others', '--dim', '2'],
      ['import', path, 'docs', rows],
      ['backup', path, join(folder, 'backup')],
      ['repair', path],
      ['serve', path, '--port', '0'],
    ]) {
      const { code, err } = await drift(...args)
      expect({ args, code }).toEqual({ args, code: EXIT.failed })
      expect(err).toMatch(new RegExp(`^DRIFT_LOCKED: ${path} is open already, in process ${process.pid} on `))
      if (args[0] !== 'repair' && args[0] !== 'serve') expect(err).toContain('give its URL')
    }
  })

  it('backs up into a folder that opens, and into no other', async () => {
    const [path, backup] = [join(folder, 'db-backed'), join(folder, 'db-backup')]
    await drift('import', path, 'docs', file('one.jsonl', '{"id":1,"vector":[1,2]}'))
    expect(await drift('backup', path, backup)).toMatchObject({
      code: EXIT.done,
      out: `backed up to ${backup}`,
    })
    expect((await drift('count', backup, 'docs')).out).toBe('1')
    expect((await drift('backup', path, backup)).err).toMatch(/^DRIFT_BACKUP_EXISTS/)
    expect((await drift('backup', path, join(path, 'quarantine'))).err).toMatch(/^DRIFT_PATH/)
  })

  it('ends with 4 when a check finds damage, and repairs it', async () => {
    const db = join(folder, 'db-damaged')
    await drift('create', db, 'docs', '--dim', '2')
    expect((await drift('check', db)).code).toBe(EXIT.done)
    file('db-damaged/FORMAT', 'nothing')
    const found = await drift('check', db, '--json')
    expect([found.code, found.json]).toEqual([EXIT.found, expect.objectContaining({ ok: false })])
    expect((await drift('check', db)).out).toContain('not ok')
    expect((await drift('repair', db)).code).toBe(EXIT.done)
    expect((await drift('check', db)).code).toBe(EXIT.done)
  })
})

describe('serve', () => {
  interface Opened {
    readonly url: string
    readonly collections: object[]
    readonly recovery: { readonly clean: boolean; readonly replayedRecords: number }
  }

  async function opened(child: ReturnType<typeof start>): Promise<Opened> {
    const [line] = (await once(child.stdout!, 'data')) as [Buffer]
    return JSON.parse(String(line).split('\n')[0]!) as Opened
  }

  it('takes options from flags before the environment before a file, and stops with 0', async () => {
    const config = file(
      'serve.json',
      JSON.stringify({ port: 1, logLevel: 'silent', limits: { k: 5 }, hosts: ['drift.test'] }),
    )
    const env = { DRIFT_PORT: '2', DRIFT_CONFIG: config, DRIFT_MAINTENANCE: 'manual', DRIFT_THREADS: '0' }
    const child = start(['--json', 'serve', join(folder, 'db-serve'), '--port', '0'], env)
    const { url } = await opened(child)
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    // Under its number it is not one of the hosts of the file.
    expect((await fetch(`${url}/v1/collections`)).status).toBe(403)
    child.kill('SIGTERM')
    expect((await once(child, 'exit'))[0]).toBe(0)
  })

  it('gives maintenance, caches and connections the bounds that it was given', async () => {
    const config = file(
      'bounds.json',
      JSON.stringify({ timeouts: { headersMs: 300, requestMs: 300, checkMs: 20 }, pageCacheBytes: 65_536 }),
    )
    const bounds = ['--config', config, '--max-search-wait-ms', '7.5', '--threads', '0']
    const child = start([
      '--json',
      'serve',
      join(folder, 'db-bounds'),
      '--port',
      '0',
      '--log-level',
      'silent',
      ...bounds,
    ])
    const { url } = await opened(child)
    const stats = (await (await fetch(`${url}/v1/stats`)).json()) as {
      readonly maintenance: object
      readonly pageCache: object
    }
    expect(stats.maintenance).toMatchObject({ maxSearchWaitMs: 7.5 })
    expect(stats.pageCache).toMatchObject({ maxBytes: 65_536 })
    const slow = connect(Number(new URL(url).port), '127.0.0.1', () =>
      slow.write('POST /v1/sync HTTP/1.1\r\n'),
    )
    const [answer] = (await once(slow, 'data')) as [Buffer]
    expect(String(answer)).toMatch(/^HTTP\/1.1 408 /)
    child.kill('SIGTERM')
    expect((await once(child, 'exit'))[0]).toBe(0)
  })

  it.each([
    [{ prot: 1 }, /no option 'prot', only host, port/],
    [{ port: 'seven' }, /'port' in .* is seven: expected a whole number/],
    [{ insecureNoKeys: 'perhaps' }, /'insecureNoKeys' in .* is "perhaps", expected true or false/],
    [{ maxSearchWaitMs: -1 }, /'maxSearchWaitMs' in .* is -1: expected a number of at least 0/],
    [{ threads: 65 }, /threads is 65, expected an integer from 0 to 64/],
    [{ pageCacheBytes: 'much' }, /'pageCacheBytes' in .* is much: expected a whole number/],
    [{ timeouts: { requestsMs: 1 } }, /timeouts has no option 'requestsMs'/],
    [{ timeouts: 5 }, /the options of timeouts are 5, expected an object/],
    [{ limits: { nothing: 1 } }, /limits has no option 'nothing', only jsonBytes, /],
    [{ sync: 'never' }, /sync is "never", expected 'always'/],
    [{ tlsCert: 'a.pem' }, /--tls-cert and --tls-key come together/],
    [{ keys: '/nowhere/keys.json' }, /keys.json cannot be read/],
    [[1], /holds no object/],
  ])('refuses the file %j', async (content, message) => {
    const config = file('bad.json', JSON.stringify(content))
    const { code, err } = await drift('serve', join(folder, 'db-bad'), '--config', config)
    expect([code, err]).toEqual([EXIT.usage, expect.stringMatching(message)])
  })

  it('says what it opened and what it recovered after a kill', async () => {
    const path = join(folder, 'db-recovered')
    const first = start(['--json', 'serve', path, '--port', '0', '--log-level', 'silent'])
    const { url } = await opened(first)
    const json = { 'content-type': 'application/json' }
    const put = (where: string, body: object): Promise<Response> =>
      fetch(`${url}/v1${where}`, { method: 'PUT', headers: json, body: JSON.stringify(body) })
    expect((await put('/collections/docs', { dim: 2, metric: 'l2' })).status).toBe(200)
    expect((await put('/collections/docs/points', { rows: [{ id: 1, vector: [1, 2] }] })).status).toBe(200)
    first.kill('SIGKILL')
    await once(first, 'exit')
    const second = start(['serve', path, '--port', '0', '--log-level', 'silent'])
    const [text] = (await once(second.stdout!, 'data')) as [Buffer]
    expect(String(text)).toMatch(/drift listens on http:\/\/127\.0\.0\.1:\d+, without keys/)
    expect(String(text)).toContain('docs: 1 rows of 2 dimensions')
    expect(String(text)).not.toMatch(/ $/m)
    expect(String(text)).toMatch(/it had not been closed: recovered [1-9]\d* records/)
  })

  it('does not say of a new database that it had been closed', async () => {
    const child = start(['serve', join(folder, 'db-new'), '--port', '0', '--log-level', 'silent'])
    const [text] = (await once(child.stdout!, 'data')) as [Buffer]
    expect(String(text)).toMatch(/^ {2}nothing was to be recovered; the last write is lsn 0$/m)
    child.kill('SIGTERM')
    await once(child, 'exit')
  })

  it('that is told to stop while it reads a long log gives it up, ends with 0 and loses nothing', async () => {
    const path = join(folder, 'db-long')
    const [rows, dim] = [300_000, 128]
    const writer = start(['--json', 'serve', path, '--port', '0', '--log-level', 'silent', '--threads', '0'])
    const { url } = await opened(writer)
    const db = await connectClient(url)
    const docs = await db.collection('docs', { dim, metric: 'l2', memtableRows: rows })
    for (let from = 0; from < rows; from += 10_000) {
      const ids = Array.from({ length: 10_000 }, (_, n) => from + n)
      await docs.upsert({ ids, vectors: Float32Array.from({ length: 10_000 * dim }, (_, i) => i % 97) })
    }
    await db.close()
    writer.kill('SIGKILL')
    await once(writer, 'exit')
    const logged = readdirSync(path).sort()
    const child = start(['--json', 'serve', path, '--port', '0'])
    const said: string[] = []
    for (const stream of [child.stdout!, child.stderr!]) stream.on('data', text => said.push(String(text)))
    // What an unclean end left is copied into a draft while it is read.
    const draft = (): string | undefined => readdirSync(path).find(name => !logged.includes(name))
    await expect.poll(draft, { timeout: 20_000, interval: 1 }).toBeDefined()
    child.kill('SIGTERM')
    expect((await once(child, 'exit'))[0]).toBe(0)
    expect(said).toEqual([])
    await using again = await Drift.open(path)
    expect(again.recovery).toMatchObject({ clean: false, losses: [] })
    expect(await (await again.collection('docs')).count()).toBe(rows)
  })

  it('hears a signal that comes when it just begins to listen', async () => {
    // The first socket looks whether the port is free, the second one stays.
    const signal = file(
      'signal.mjs',
      `import { createHook } from 'node:async_hooks'
       let sockets = 0
       const init = (_, type) => type === 'TCPSERVERWRAP' && ++sockets === 2 && process.kill(process.pid, 'SIGTERM')
       createHook({ init }).enable()`,
    )
    const child = start(['--json', 'serve', join(folder, 'db-at-once'), '--port', '0'], {
      NODE_OPTIONS: `--import=${pathToFileURL(signal).href}`,
    })
    expect((await once(child, 'exit'))[0]).toBe(0)
  })

  it('has its report alone on stdout, and what it logs on stderr', async () => {
    const child = start(['--json', 'serve', join(folder, 'db-logs'), '--port', '0'])
    const [out, err]: [string[], string[]] = [[], []]
    child.stdout!.on('data', text => out.push(String(text)))
    child.stderr!.on('data', text => err.push(String(text)))
    const { url } = await opened(child)
    expect((await fetch(`${url}/v1/collections`)).status).toBe(200)
    child.kill('SIGTERM')
    // When its streams have ended too.
    expect((await once(child, 'close'))[0]).toBe(0)
    expect(JSON.parse(out.join(''))).toMatchObject({ url })
    const logged = err
      .join('')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as { msg: string })
    expect(logged.map(({ msg }) => msg)).toContain('answered')
  })

  it('says at its start that backups cannot be made, and makes nothing', async () => {
    const path = join(folder, 'db-backups')
    const { code, err } = await drift('serve', path, '--backup-folder', join(file('no-folder', ''), 'below'))
    expect([code, err]).toEqual([
      EXIT.usage,
      expect.stringMatching(/^DRIFT_OPTION: backupFolder is .* cannot be written/),
    ])
    expect(existsSync(path)).toBe(false)
  })

  it('finishes what is under way after one signal, and ends at once after the second', async () => {
    const child = start([
      '--json',
      'serve',
      join(folder, 'db-signals'),
      '--port',
      '0',
      '--log-level',
      'silent',
    ])
    const { url } = await opened(child)
    const { port } = new URL(url)
    // Half a request: the server waits for the rest of it.
    const socket: Socket = connect(Number(port), '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    socket.on('error', () => undefined)
    socket.write(
      'PUT /v1/collections/docs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n',
    )
    // The interim answer says that the request is being handled.
    await once(socket, 'data')
    socket.write('{"d')
    child.kill('SIGTERM')
    // It no longer takes connections, and has not ended: it drains.
    await expect
      .poll(
        () =>
          fetch(`${url}/livez`).then(
            () => 'up',
            () => 'down',
          ),
        { timeout: 10_000 },
      )
      .toBe('down')
    expect(child.exitCode).toBe(null)
    child.kill('SIGTERM')
    expect((await once(child, 'exit'))[0]).toBe(1)
  })
})

it('ends quietly when nobody reads its output to the end', async () => {
  const child = start(['completions', 'bash'])
  child.stdout!.destroy()
  let err = ''
  child.stderr!.on('data', text => {
    err += text
  })
  const [code] = await once(child, 'close')
  expect([code, err]).toEqual([0, ''])
})
