// Proves: the command line does to a folder and to a server the same; imports each format whole, goes on where it was
// broken off, and puts what is refused into a file; says with its exit code how it went.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@drift/http'
import { Drift } from '@drift/server'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { EXIT, importFile, run } from '../src/index.js'

const folder = mkdtempSync(join(tmpdir(), 'drift-cli-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function drift(...args: string[]): Promise<{ code: number; out: string; err: string; json: never }> {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await run(args, { out: text => void out.push(text), err: text => void err.push(text) })
  const text = out.join('\n')
  return {
    code,
    out: text,
    err: err.join('\n'),
    json: args.includes('--json') && text ? (JSON.parse(text) as never) : (undefined as never),
  }
}

const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

function npy(type: string, rows: number, dim: number, values: Uint8Array): Uint8Array {
  const dict = `{'descr': '${type}', 'fortran_order': False, 'shape': (${rows}, ${dim}), }`
  const header = Buffer.alloc(128, ' ')
  header.write('\x93NUMPY\x01\x00', 'latin1')
  header.writeUInt16LE(118, 8)
  header.write(`${dict}`, 10, 'latin1')
  header[127] = 10
  return Buffer.concat([header, values])
}
const floats = (values: number[]): Uint8Array => new Uint8Array(new Float32Array(values).buffer)
const vecs = (rows: Uint8Array[], dim: number): Uint8Array =>
  Buffer.concat(rows.flatMap(row => [new Uint8Array(new Int32Array([dim]).buffer), row]))

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
    })
    expect((await drift('--json', 'query', db, 'docs', '[1,2]', '-k', '1', '--payload')).json).toEqual({
      hits: [{ id: 'a', distance: 0, score: -0, payload: { lang: 'en' } }].map(hit =>
        JSON.parse(JSON.stringify(hit)),
      ),
    })
    expect((await drift('--json', 'get', db, 'docs', '7')).json).toEqual({ id: 7, vector: [3, 4] })
    for (const verb of ['flush', 'maintain']) expect((await drift(verb, db, 'docs')).code).toBe(0)
    expect((await drift('--json', 'stats', db, 'docs')).json).toMatchObject({ rows: 2, segments: 1 })
    const exported = join(folder, `${kind}-out.jsonl`)
    expect((await drift('export', db, 'docs', exported)).out).toBe('2 rows')
    expect((await drift('export', db, 'docs', exported)).code).toBe(EXIT.failed)
    expect((await drift('import', db, 'again', exported, '--metric', 'l2')).code).toBe(0)
    expect((await drift('--json', 'get', db, 'again', 'a')).json).toEqual({
      id: 'a',
      vector: [1, 2],
      payload: { lang: 'en' },
    })
    expect((await drift('--json', 'drop', db, 'docs')).json).toEqual({ dropped: true })
    expect(await drift('query', db, 'docs', '[1,2]')).toMatchObject({
      code: 1,
      err: expect.stringContaining('DRIFT_NO_COLLECTION'),
    })
    await server?.close()
  })
})

describe('import', () => {
  const formats: [string, Uint8Array | string][] = [
    ['f4.npy', npy('<f4', 2, 2, floats([1, 2, 3, 4]))],
    ['f2.npy', npy('<f2', 2, 2, new Uint8Array(new Uint16Array([0x3c00, 0x4000, 0x4200, 0x4400]).buffer))],
    ['u1.npy', npy('|u1', 2, 2, new Uint8Array([1, 2, 3, 4]))],
    ['x.fvecs', vecs([floats([1, 2]), floats([3, 4])], 2)],
    ['x.bvecs', vecs([new Uint8Array([1, 2]), new Uint8Array([3, 4])], 2)],
    ['x.csv', 'id,vector,lang\n0,"[1, 2]",en\n1,3 4,de\n'],
    ['x.jsonl', '{"id":0,"vector":[1,2]}\n\n{"id":1,"vector":[3,4]}\n'],
  ]
  it.each(formats)('reads %s', async (name, content) => {
    const db = join(folder, `db-${name}`)
    expect((await drift('--json', 'import', db, 'docs', file(name, content), '--metric', 'l2')).json).toEqual(
      {
        written: 2,
        rejected: 0,
        skipped: 0,
      },
    )
    const { hits } = (await drift('--json', 'query', db, 'docs', '[3,4]', '-k', '2')).json as {
      hits: { id: unknown; distance: number }[]
    }
    expect(hits.map(({ id }) => String(id))).toEqual(['1', '0'])
    expect(hits.map(({ distance }) => distance)).toEqual([0, 8])
  })

  const hostile: [string, Uint8Array | string][] = [
    ['empty.npy', ''],
    ['magic.npy', 'NUMPY'],
    ['cut.npy', npy('<f4', 2, 2, floats([1, 2, 3]))],
    ['long.npy', npy('<f4', 2, 2, floats([1, 2, 3, 4, 5]))],
    ['type.npy', npy('<f8', 1, 1, new Uint8Array(8))],
    ['lie.npy', npy('<f4', 999_999_999, 999_999, floats([1]))],
    ['cut.fvecs', vecs([floats([1, 2])], 2).slice(0, 10)],
    ['huge.fvecs', vecs([floats([1])], 0x7fffffff)],
    ['negative.fvecs', vecs([floats([1])], -1)],
    ['short.bvecs', new Uint8Array(3)],
    ['quote.csv', 'id,vector\n1,"1 2\n'],
    ['x.parquet', 'PAR1'],
  ]
  it.each(hostile)('refuses %s and makes no collection', async (name, content) => {
    const db = join(folder, `bad-${name}`)
    const { code, err } = await drift('import', db, 'docs', file(name, content))
    expect([code, err]).toEqual([EXIT.failed, expect.stringMatching(/DRIFT_IMPORT_(FILE|FORMAT)/)])
    await using opened = await Drift.open(db)
    expect(opened.collections()).toEqual([])
  })

  it('puts the rows that are refused into a file, says so, and writes the others', async () => {
    const good = Array.from({ length: 20 }, (_, id) => JSON.stringify({ id, vector: [id, 1] }))
    const bad = [
      '{"id":1.5,"vector":[1,2]}',
      '{"id":100,"vector":[1]}',
      'not json',
      '{"id":101,"vector":[1,1e39]}',
      '{"id":102}',
      '[]',
    ]
    const input = file('mixed.jsonl', [...good.slice(0, 7), ...bad, ...good.slice(7)].join('\n'))
    const db = join(folder, 'db-mixed')
    const { code, json } = await drift(
      '--json',
      'import',
      db,
      'docs',
      input,
      '--metric',
      'l2',
      '--batch',
      '8',
    )
    expect([code, json]).toEqual([EXIT.rejects, { written: 20, rejected: 6, skipped: 0 }])
    const rejects = readFileSync(`${input}.rejects.jsonl`, 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(rejects.map(({ number }) => number).sort()).toEqual([10, 11, 12, 7, 8, 9])
    expect((await drift('--json', 'stats', db, 'docs')).json).toMatchObject({ rows: 20 })
  })

  it('goes on where it was broken off', async () => {
    const input = file('many.npy', npy('<f4', 100, 1, floats(Array.from({ length: 100 }, (_, i) => i))))
    const db = await Drift.open(join(folder, 'db-many'))
    const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
    const from = (resume: boolean, stopAt: number) =>
      importFile(input, {
        batchRows: 10,
        resume,
        rejectsFile: `${input}.rejects`,
        open: async () => docs,
        onProgress: done => {
          if (done === stopAt) throw new Error('stopped')
        },
      })
    await expect(from(false, 40)).rejects.toThrow('stopped')
    expect(await docs.count()).toBe(40)
    expect(await from(true, -1)).toEqual({ written: 60, rejected: 0, skipped: 40 })
    expect(await docs.count()).toBe(100)
    expect(existsSync(`${input}.drift-import.json`)).toBe(false)
    expect(statSync(input).size).toBe(528)
    await db.close()
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

  it('serves until it is told to stop, with options from the environment and a file', async () => {
    const config = file('serve.json', JSON.stringify({ port: 1, logLevel: 'silent' }))
    const program = new URL('../dist/drift.js', import.meta.url).pathname
    const child = spawn(
      process.execPath,
      [program, '--json', 'serve', join(folder, 'db-serve'), '--config', config],
      {
        env: { ...process.env, DRIFT_PORT: '0' },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    onTestFinished(() => void child.kill('SIGKILL'))
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const { url } = JSON.parse(String(line)) as { url: string }
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    child.kill('SIGTERM')
    expect((await once(child, 'exit'))[0]).toBe(0)
  })
})
