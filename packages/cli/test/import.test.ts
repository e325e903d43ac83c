// Proves: each format is imported whole, what was exported comes back the same, a file that is not what it says is
// refused, rows that are refused go to a file with their place, and an import that was killed goes on where it was.
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { serve } from '@drift/http'
import { Drift, type Row } from '@drift/server'
import {
  Field,
  FixedSizeList,
  Float32,
  Table,
  tableFromArrays,
  tableToIPC,
  Utf8,
  vectorFromArray,
} from 'apache-arrow'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type CliError, EXIT, importFile, openSource, run } from '../src/index.js'
import { drift, file, floats, folder, npy, start, vecs } from './fixture.js'

function arrow(ids: readonly (string | null)[], vectors: readonly number[][]): Uint8Array {
  const type = new FixedSizeList(vectors[0]!.length, new Field('item', new Float32(), false))
  const columns = { id: vectorFromArray(ids, new Utf8()), vector: vectorFromArray(vectors, type) }
  return tableToIPC(new Table(columns), 'file')
}

const rejectsOf = (input: string): Record<string, unknown>[] =>
  readFileSync(`${input}.rejects.jsonl`, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>)

async function contents(path: string, name: string): Promise<Map<unknown, unknown>> {
  await using db = await Drift.open(path, { readOnly: true })
  const found = new Map<unknown, unknown>()
  for await (const { id, vector, payload } of (await db.collection(name)).scan())
    found.set(id, [[...vector], payload])
  return found
}

describe('openSource', () => {
  it.each(['npy', 'fvecs', 'bvecs', 'jsonl', 'csv', 'arrow'])(
    'refuses a .%s that is not there with a code',
    async ending => {
      const path = join(folder, `nowhere.${ending}`)
      await expect(openSource(path)).rejects.toMatchObject({ code: 'DRIFT_IMPORT_FILE', details: { path } })
    },
  )
})

describe('import', () => {
  const formats: [string, Uint8Array | string][] = [
    ['f8.npy', npy('<f8', 2, 2, new Uint8Array(new Float64Array([1, 2, 3, 4]).buffer))],
    ['f4.npy', npy('<f4', 2, 2, floats([1, 2, 3, 4]))],
    ['f2.npy', npy('<f2', 2, 2, new Uint8Array(new Uint16Array([0x3c00, 0x4000, 0x4200, 0x4400]).buffer))],
    ['u1.npy', npy('|u1', 2, 2, new Uint8Array([1, 2, 3, 4]))],
    ['x.fvecs', vecs([floats([1, 2]), floats([3, 4])], 2)],
    ['x.bvecs', vecs([new Uint8Array([1, 2]), new Uint8Array([3, 4])], 2)],
    ['x.csv', '\ufeffid,vector,lang\r\n0,"[1, 2]","e""n\nx"\r\n1,3 4,de\r\n'],
    ['x.jsonl', '\ufeff{"id":0,"vector":[1,2]}\r\n\r\n{"id":1,"vector":[3,4]}'],
    [
      'x.arrow',
      arrow(
        ['0', '1'],
        [
          [1, 2],
          [3, 4],
        ],
      ),
    ],
  ]
  it.each(formats)('reads %s', async (name, content) => {
    const db = join(folder, `db-${name}`)
    const imported = await drift('--json', 'import', db, 'docs', file(name, content), '--metric', 'l2')
    expect(imported.json).toEqual({ written: 2, rejected: 0, skipped: 0, stopped: false })
    const { hits } = (await drift('--json', 'query', db, 'docs', '[3,4]', '-k', '2')).json as {
      hits: { id: unknown; distance: number }[]
    }
    expect(hits.map(({ id }) => String(id))).toEqual(['1', '0'])
    expect(hits.map(({ distance }) => distance)).toEqual([0, 8])
  })

  it('takes the numbers of a column of a .csv as numbers when told to', async () => {
    const db = join(folder, 'db-numbers')
    const input = file('numbers.csv', 'id,vector,year,lang\na,1 2,2020,en\nb,3 4,,de\n')
    await drift('import', db, 'docs', input, '--number-fields', 'year')
    expect((await drift('count', db, 'docs', '--filter', '{"year":{"$gte":2020}}')).out).toBe('1')
  })

  it('rejects what is no number in such a column, and refuses a column that is not there or is the id', async () => {
    const db = join(folder, 'db-no-numbers')
    const input = file('prices.csv', 'id,vector,price\na,1 2,10\nb,3 4,cheap\nc,5 6,\nd,7 8,Infinity\n')
    const imported = await drift('import', db, 'docs', input, '--number-fields', 'price')
    expect(imported.code).toBe(EXIT.rejects)
    expect(imported.out).toContain(`line 3: 'price' holds "cheap", no number`)
    expect([...(await contents(db, 'docs')).keys()].sort()).toEqual(['a', 'c'])
    for (const [field, message, exit] of [
      ['prize', "has no column 'prize', only 'id', 'vector', 'price'", EXIT.failed],
      ['id', 'ids of a .csv are text', EXIT.usage],
    ] as const) {
      const refused = await drift('import', db, 'other', input, '--number-fields', field)
      expect([refused.code, refused.err]).toEqual([exit, expect.stringContaining(message)])
    }
  })

  it.runIf(process.platform === 'linux')('opens no .csv whose options it refuses', async () => {
    const input = file('refused.csv', 'id,vector\na,1 2\n')
    await expect(openSource(input, { numberFields: ['id'] })).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
    const target = (fd: string): string => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`)
      } catch {
        return '' // the one that lists them
      }
    }
    // A stream opens its file in one turn of the event loop or the next.
    for (let turn = 0; turn < 100; turn++) {
      await setImmediate()
      expect(readdirSync('/proc/self/fd').map(target)).not.toContain(input)
    }
  })

  const header = Buffer.from(npy('<f4', 1, 1, floats([1])))
  const wide = Buffer.concat([
    Buffer.from('\x93NUMPY\x02\x00', 'latin1'),
    new Uint8Array(new Uint32Array([0xffffffff]).buffer),
    header,
  ])
  const whole = Buffer.from(
    arrow(
      ['a', 'b'],
      [
        [1, 2],
        [3, 4],
      ],
    ),
  )
  const other = tableToIPC(tableFromArrays({ key: ['a'], values: new Float32Array([1]) }), 'file')
  const hostile: [string, Uint8Array | string, RegExp][] = [
    ['empty.npy', '', /no \.npy file/],
    ['magic.npy', 'NUMPY', /no \.npy file/],
    ['version.npy', Buffer.from('\x93NUMPY\x09\x00\x76\x00', 'latin1'), /version 9/],
    ['cut.npy', npy('<f4', 2, 2, floats([1, 2, 3])), /needs 144: it was cut/],
    ['long.npy', npy('<f4', 2, 2, floats([1, 2, 3, 4, 5])), /was cut or grew/],
    ['cut-header.npy', header.subarray(0, 60), /ends inside its header/],
    ['huge-header.npy', wide, /header of 4294967295 bytes/],
    ['type.npy', npy('<c8', 1, 1, new Uint8Array(8)), /'<c8', expected float64/],
    ['object.npy', npy('|O', 1, 1, new Uint8Array(8)), /'\|O', expected float64/],
    ['lie.npy', npy('<f4', 999_999_999, 4_000, floats([1])), /its shape/],
    ['wide.npy', npy('<f4', 1, 999_999, floats([1])), /rows of 999999 values/],
    [
      'order.npy',
      Buffer.from(String(header.toString('latin1')).replace('False', 'True '), 'latin1'),
      /column by column/,
    ],
    ['cut.fvecs', vecs([floats([1, 2])], 2).slice(0, 10), /it was cut/],
    ['huge.fvecs', vecs([floats([1])], 0x7fffffff), /a row of 2147483647 values/],
    ['negative.fvecs', vecs([floats([1])], -1), /a row of -1 values/],
    ['short.bvecs', new Uint8Array(3), /too short/],
    ['quote.csv', 'id,vector\n1,"1 2\n', /quote/i],
    ['column.csv', 'id,embedding\n1,1 2\n', /no column 'vector', only 'id', 'embedding'/],
    ['line.jsonl', `{"id":1,"vector":[1]}\n${'x'.repeat(9 * 1024 * 1024)}`, /bytes in line 2/],
    ['empty.arrow', '', /Arrow|schema/],
    ['text.arrow', 'this is no arrow file at all', /Arrow|schema/],
    ['cut.arrow', whole.subarray(0, whole.length >> 1), /cannot be read/],
    ['other.arrow', other, /no column 'id', only 'key', 'values'/],
    ['x.parquet', 'PAR1', /expected \.npy/],
    ['x', 'nothing', /expected \.npy/],
  ]
  it.each(hostile)('refuses %s and makes no collection', async (name, content, message) => {
    const opened: number[] = []
    const importing = importFile(file(name, content), {
      batchRows: 10,
      resume: false,
      rejectsFile: join(folder, `${name}.rejects`),
      target: 'none',
      async open(dim) {
        opened.push(dim)
        throw new Error('no row may come this far')
      },
      onProgress: () => undefined,
    })
    const error = (await importing.catch((thrown: unknown) => thrown)) as CliError
    expect([error.code, error.message]).toEqual([
      expect.stringMatching(/^DRIFT_IMPORT_(FILE|FORMAT)$/),
      expect.stringMatching(message),
    ])
    expect(opened).toEqual([])
  })

  it('says what is wrong with a file that is not there, or of another dimension', async () => {
    const db = join(folder, 'db-other')
    expect((await drift('import', db, 'docs', join(folder, 'nowhere.npy'))).err).toMatch(
      /^DRIFT_IMPORT_FILE: .*ENOENT/,
    )
    const text = file('text.npy', 'no matrix')
    expect((await drift('import', db, 'docs', text)).err).toMatch(/^DRIFT_IMPORT_FILE: .*is no \.npy file/)
    expect((await drift('import', db, 'docs', file('rows.txt', ''))).err).toMatch(/^DRIFT_IMPORT_FORMAT/)
    expect(existsSync(db)).toBe(false)
    await drift('create', db, 'docs', '--dim', '3')
    const input = file('two.npy', npy('<f4', 1, 2, floats([1, 2])))
    expect((await drift('import', db, 'docs', input)).err).toBe(
      "DRIFT_COLLECTION_MISMATCH: collection 'docs' has dim 3, the file has 2",
    )
  })

  it('puts the rows that are refused into a file with their lines, and writes the others', async () => {
    const good = Array.from({ length: 20 }, (_, id) => JSON.stringify({ id, vector: [id, 1] }))
    const bad = [
      '{"id":1.5,"vector":[1,2]}',
      '{"id":100,"vector":[1]}',
      'not json',
      '{"id":101,"vector":[1,1e39]}',
      '{"id":102}',
      '[]',
      '{"id":103,"vector":"1 2"}',
      '{"id":104,"vector":[1,null]}',
      '{"id":105,"vector":[1,2],"payload":{"a":1},"b":2}',
    ]
    // The first row must not give the collection its dimension, and lines are those of the file, empty ones too.
    const first = '{"id":99,"vector":[1,2,3]}'
    const input = file('mixed.jsonl', [first, '', ...good.slice(0, 7), ...bad, ...good.slice(7)].join('\n'))
    const db = join(folder, 'db-mixed')
    const args = ['import', db, 'docs', input, '--metric', 'l2', '--batch', '8']
    const { code, json } = await drift('--json', ...args)
    expect([code, json]).toEqual([
      EXIT.rejects,
      { written: 20, rejected: 10, skipped: 0, stopped: false, rejectsFile: `${input}.rejects.jsonl` },
    ])
    const lines = rejectsOf(input).map(({ line }) => line as number)
    expect(lines.sort((a, b) => a - b)).toEqual([1, 10, 11, 12, 13, 14, 15, 16, 17, 18])
    expect(rejectsOf(input).find(({ line }) => line === 12)).toMatchObject({
      number: 10,
      reason: expect.stringMatching(/^the line is not JSON/),
      text: 'not json',
    })
    // In a batch of its own each was row 0.
    for (const { reason } of rejectsOf(input)) expect(reason).not.toMatch(/\b(row|vector) 0\b/)
    expect(rejectsOf(input).find(({ line }) => line === 11)).toMatchObject({
      reason: 'the vector has 1 values, expected 2',
    })
    expect(rejectsOf(input).find(({ line }) => line === 10)).toMatchObject({
      reason: 'id 1.5 is refused: a number must be a safe integer',
    })
    expect(rejectsOf(input).find(({ line }) => line === 18)).toMatchObject({
      reason: "there is a field 'b' beside 'payload', which would be lost",
    })
    expect((await drift('--json', 'stats', db, 'docs')).json).toMatchObject({ rows: 20 })
    // Again, the rejects are those of this time only.
    expect((await drift(...args)).out).toContain('10 rejected')
    expect(rejectsOf(input)).toHaveLength(10)
  })

  it('rejects rows of the binary formats one by one', async () => {
    const db = join(folder, 'db-binary')
    const nan = file('nan.npy', npy('<f4', 3, 2, floats([1, 2, Number.NaN, 3, 5, 6])))
    const { code, out } = await drift('import', db, 'npy', nan, '--metric', 'l2')
    expect([code, out]).toEqual([
      EXIT.rejects,
      expect.stringMatching(/2 rows written\n1 rejected.*\n {2}row 1: /s),
    ])
    const mixed = file('mixed.fvecs', Buffer.concat([vecs([floats([1, 2])], 2), vecs([floats([1, 2])], 3)]))
    expect((await drift('import', db, 'fvecs', mixed)).out).toContain(
      'row 1: the row has 3 values, expected 2',
    )
    const short = file('short.csv', 'id,vector,lang\na,1 2,en\nb,3 4\nc,5 x,de\n,7 8,de\n')
    expect((await drift('import', db, 'csv', short)).out).toMatch(
      /1 rows written\n3 rejected.*line 3: .*line 4: 'vector' holds "x"/s,
    )
    const holes = file(
      'holes.arrow',
      arrow(
        ['a', null, 'c'],
        [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
      ),
    )
    expect((await drift('import', db, 'arrow', holes)).out).toMatch(
      /2 rows written\n1 rejected.*row 1: .*expected an id/s,
    )
  })

  it('reads a .csv in UTF-8 or with the mark of UTF-16, and refuses other bytes, of which two ids would become one', async () => {
    const db = join(folder, 'bytes')
    const utf16 = file('utf16.csv', Buffer.from('\ufeffid,vector\nété,"1 2"\n', 'utf16le'))
    expect((await drift('import', db, 'docs', utf16)).code).toBe(EXIT.done)
    const latin1 = file('latin1.csv', Buffer.from('id,vector\nété,"1 2"\nètè,"1 2"\n', 'latin1'))
    const refused = await drift('import', db, 'docs', latin1)
    expect([refused.code, refused.err]).toEqual([EXIT.failed, `DRIFT_IMPORT_FILE: ${latin1} is not UTF-8`])
    expect([...(await contents(db, 'docs')).keys()]).toEqual(['été'])
  })

  it('refuses a .csv with a column twice, and rows whose vectors leave out a number', async () => {
    const db = join(folder, 'columns')
    const twice = file('twice.csv', 'id,vector,id\na,1 2,b\n')
    expect((await drift('import', db, 'docs', twice)).err).toContain("has the column 'id' twice")
    const gaps = file('gaps.csv', 'id,vector\na,"1,2"\nb,"1,,2"\nc,"[1,2,]"\nd," [1 , 2] "\n')
    expect((await drift('import', db, 'docs', gaps)).code).toBe(EXIT.rejects)
    expect([...(await contents(db, 'docs')).keys()]).toEqual(['a', 'd'])
  })

  it('refuses a file of ids that has not one for each row, before a row is written, and where it is of no use', async () => {
    const db = join(folder, 'ids')
    const rows = file('two.npy', npy('<f4', 2, 1, floats([1, 2])))
    const three = file('three.ids.jsonl', '1\n2\n3\n')
    const refused = await drift('import', db, 'docs', rows, '--ids', three)
    expect([refused.code, refused.err]).toEqual([EXIT.failed, expect.stringContaining('has 3 ids, and')])
    const lines = file('own.jsonl', '{"id":1,"vector":[1]}\n')
    expect((await drift('import', db, 'docs', lines, '--ids', three)).err).toContain(
      'DRIFT_OPTION: --ids is for',
    )
    expect((await drift('import', db, 'docs', lines, '--number-fields', 'a')).err).toContain('DRIFT_OPTION')
    expect((await drift('--json', 'stats', db)).json).toMatchObject({ collections: [] })
  })

  it('takes ids from a file, and notices when there are too few', async () => {
    const db = join(folder, 'db-ids')
    const input = file('three.npy', npy('<f4', 3, 1, floats([1, 2, 3])))
    const ids = file('three.ids', '"a"\n{"$bigint":"7"}\n7\n')
    expect((await drift('import', db, 'docs', input, '--metric', 'l2', '--ids', ids)).code).toBe(EXIT.done)
    expect(new Set((await contents(db, 'docs')).keys())).toEqual(new Set(['a', 7n, 7]))
    const few = file('few.ids', '"a"\n')
    expect((await drift('import', db, 'few', input, '--ids', few)).err).toContain('has 1 ids, and')
  })
})

describe('an import that is broken off', () => {
  const ROWS = 30_000
  const input = (name: string): string => {
    const lines = Array.from({ length: ROWS }, (_, id) =>
      id % 1000 === 17 ? 'broken' : JSON.stringify({ id, vector: [id, 1] }),
    )
    return file(name, lines.join('\n'))
  }
  const args = (db: string, path: string): string[] => [
    ...['import', db, 'docs', path, '--metric', 'l2', '--batch', '100', '--json'],
  ]

  /** Resolves when the import has counted its first rows. */
  async function begun(path: string): Promise<void> {
    await expect
      .poll(() => existsSync(`${path}.drift-import.json`), { timeout: 20_000, interval: 5 })
      .toBe(true)
  }

  it('by kill -9 goes on, and every row is written or rejected once', async () => {
    const path = input('killed.jsonl')
    const db = join(folder, 'db-killed')
    const child = start(args(db, path))
    await begun(path)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const { code, json } = await drift(...args(db, path), '--resume')
    const { written, skipped, rejected } = json as { written: number; skipped: number; rejected: number }
    expect(code).toBe(EXIT.rejects)
    expect(skipped).toBeGreaterThan(0)
    expect(skipped).toBeLessThan(ROWS)
    expect(rejected).toBe(ROWS / 1000)
    expect(written).toBe(ROWS - skipped - (ROWS / 1000 - Math.ceil((skipped - 17) / 1000)))
    expect((await drift('count', db, 'docs')).out).toBe(String(ROWS - ROWS / 1000))
    const numbers = rejectsOf(path).map(({ number }) => number)
    expect(numbers).toEqual(Array.from({ length: ROWS / 1000 }, (_, i) => i * 1000 + 17))
    expect(existsSync(`${path}.drift-import.json`)).toBe(false)
  })

  it('by Ctrl-C stops behind a whole batch, says so, and goes on', async () => {
    const path = input('stopped.jsonl')
    const db = join(folder, 'db-stopped')
    const child = start(args(db, path))
    await begun(path)
    const output = once(child.stdout!, 'data')
    child.kill('SIGINT')
    const [code] = (await once(child, 'exit')) as [number]
    const { stopped, written, rejected } = JSON.parse(String((await output)[0])) as Record<string, number>
    expect([code, stopped]).toEqual([EXIT.stopped, true])
    expect((await drift('count', db, 'docs')).out).toBe(String(written))
    expect((written! + rejected!) % 100).toBe(0)
    expect((await drift(...args(db, path), '--resume')).json).toMatchObject({ skipped: written! + rejected! })
    expect((await drift('count', db, 'docs')).out).toBe(String(ROWS - ROWS / 1000))
  })

  it('by an error says how far it came; another file or collection does not go on from there', async () => {
    const path = file('many.npy', npy('<f4', 100, 1, floats(Array.from({ length: 100 }, (_, i) => i))))
    await using db = await Drift.open(':memory:')
    const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
    const from = (target: string, resume: boolean, stopAt: number): ReturnType<typeof importFile> =>
      importFile(path, {
        batchRows: 10,
        resume,
        target,
        rejectsFile: `${path}.rejects`,
        open: async () => docs,
        onProgress({ rows }) {
          if (rows === stopAt) throw Object.assign(new Error('stopped'), { code: 'DRIFT_TEST' })
        },
      })
    await expect(from('a', false, 40)).rejects.toThrow(
      'stopped (40 rows of the file are done; --resume goes on',
    )
    expect(await docs.count()).toBe(40)
    expect(await from('b', true, -1)).toMatchObject({ written: 100, skipped: 0 })
    await expect(from('a', false, 40)).rejects.toThrow('stopped')
    expect(await from('a', true, -1)).toMatchObject({ written: 60, rejected: 0, skipped: 40 })
    expect(await docs.count()).toBe(100)
  })
})

describe('export', () => {
  const rows: Row[] = Array.from({ length: 300 }, (_, n) => ({
    id: [`row ${n}`, n, BigInt(n)][n % 3]!,
    vector: [n, 255 - (n % 256), 7],
    ...(n % 5 === 0 ? {} : { payload: { lang: n % 2 ? 'e,"n' : 'de\n', n, tags: ['a', String(n)] } }),
  }))
  const source = join(folder, 'db-source')
  const made = (async () => {
    await using db = await Drift.open(source)
    await (await db.collection('docs', { dim: 3, metric: 'l2' })).upsert(rows)
  })()
  const wanted = (withPayload: boolean): Map<unknown, unknown> =>
    new Map(
      rows.map(({ id, vector, payload }) => [
        id,
        [[...Float32Array.from(vector)], withPayload ? payload : undefined],
      ]),
    )

  it.each(['jsonl', 'arrow', 'arrows'])('to .%s comes back with every id and payload', async kind => {
    await made
    const path = join(folder, `all.${kind}`)
    expect((await drift('export', source, 'docs', path)).out).toBe('300 rows')
    const db = join(folder, `db-back-${kind}`)
    expect((await drift('import', db, 'docs', path, '--metric', 'l2')).out).toBe('300 rows written')
    expect(await contents(db, 'docs')).toEqual(wanted(true))
  })

  it.each(['arrow', 'arrows'])(
    'to .%s takes a filter, and comes from a server as from its folder',
    async kind => {
      await made
      const filter = '{"n":{"$lt":9}}'
      const here = join(folder, `some.${kind}`)
      expect((await drift('export', source, 'docs', here, '--filter', filter)).out).toBe('7 rows')
      const server = await serve({ db: source, port: 0, logger: false })
      onTestFinished(() => server.close())
      const there = join(folder, `served.${kind}`)
      expect((await drift('export', server.url, 'docs', there, '--filter', filter)).out).toBe('7 rows')
      expect(readFileSync(there)).toEqual(readFileSync(here))
      const db = join(folder, `db-served-${kind}`)
      expect((await drift('import', db, 'docs', there, '--metric', 'l2')).out).toBe('7 rows written')
      const few = new Set(rows.filter(({ payload }) => (payload?.['n'] as number) < 9).map(({ id }) => id))
      const expected = [...wanted(true)].filter(([id]) => few.has(id as Row['id']))
      expect(await contents(db, 'docs')).toEqual(new Map(expected))
    },
  )

  it.each(['npy', 'fvecs'])('to .%s comes back with every id, which are beside it', async kind => {
    await made
    const path = join(folder, `all.${kind}`)
    const { json } = await drift('export', source, 'docs', path, '--json')
    expect(json).toEqual({ rows: 300, skipped: 0, stopped: false, idsFile: `${path}.ids.jsonl` })
    const db = join(folder, `db-back-${kind}`)
    await drift('import', db, 'docs', path, '--metric', 'l2', '--ids', `${path}.ids.jsonl`)
    expect(await contents(db, 'docs')).toEqual(wanted(false))
  })

  it('to .csv keeps text, as CSV can', async () => {
    await made
    const path = join(folder, 'some.csv')
    const filter = '{"n":{"$lt":3}}'
    expect((await drift('export', source, 'docs', path, '--filter', filter)).out).toBe('2 rows')
    const [, body] = readFileSync(path, 'utf8').split('id,vector,lang,n,tags\n')
    const one = '1,"[1, 254, 7]","e,""n",1,"[""a"",""1""]"\n'
    const two = '2,"[2, 253, 7]","de\n",2,"[""a"",""2""]"\n'
    expect([one + two, two + one]).toContain(body)
    const db = join(folder, 'db-back-csv')
    expect((await drift('import', db, 'docs', path, '--metric', 'l2')).out).toBe('2 rows written')
  })

  it('leaves nothing of a file that it could not finish, and writes none over', async () => {
    await made
    const path = join(folder, 'bad.bvecs')
    await using db = await Drift.open(join(folder, 'db-halves'))
    await (await db.collection('docs', { dim: 1, metric: 'l2' })).upsert([{ id: 1, vector: [0.5] }])
    const halves = await drift('export', join(folder, 'db-halves'), 'docs', path)
    expect(halves.err).toMatch(/^DRIFT_EXPORT_ROW: row 1 holds 0.5/)
    for (const name of [path, `${path}.part`, `${path}.ids.jsonl`, `${path}.ids.jsonl.part`])
      expect(existsSync(name)).toBe(false)
    const there = file('there.jsonl', 'mine')
    expect((await drift('export', source, 'docs', there)).err).toContain('DRIFT_EXPORT_EXISTS')
    expect(readFileSync(there, 'utf8')).toBe('mine')
    expect((await drift('export', source, 'docs', join(folder, 'x.parquet'))).err).toContain(
      'DRIFT_EXPORT_FORMAT',
    )
    rmSync(there)
  })

  it('to a folder that is not there is an error with a code', async () => {
    await made
    const { code, err } = await drift('export', source, 'docs', join(folder, 'no', 'such', 'x.jsonl'))
    expect([code, err]).toEqual([EXIT.failed, expect.stringMatching(/^DRIFT_SYSTEM: ENOENT/)])
  })
})

// The program that other programs call has the same door.
it('run() gives the exit code and writes through what it is given', async () => {
  const lines: string[] = []
  const output = {
    out: (text: string) => void lines.push(text),
    err: (text: string) => void lines.push(text),
  }
  expect([await run(['--version'], output), lines]).toEqual([EXIT.done, ['0.1.0']])
})
