// Rows go out as Arrow and come back the same, over bytes, streams, tables and batches; the schema is the narrowest that holds every value;
// what a row cannot hold is refused by code; and pyarrow, where python has it, reads the same rows.
import { execFileSync } from 'node:child_process'
import { createReadStream, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import {
  Dictionary,
  Field,
  FixedSizeList,
  Float32,
  Int32,
  Int64,
  makeData,
  RecordBatch,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  Table,
  TimestampMicrosecond,
  tableFromArrays,
  tableFromIPC,
  tableToIPC,
  Utf8,
  type Vector,
  vectorFromArray,
} from 'apache-arrow'
import { describe, expect, it } from 'vitest'
import type { Collection, Drift, Payload } from '../src/index.js'
import { contents, withDatabase } from './churn.js'
import { clusteredVectors, temporaryFolder } from './fixture.js'

const DIM = 6

async function bytesOf(collection: Collection): Promise<Uint8Array> {
  const writer = await RecordBatchStreamWriter.writeAll(collection.toArrow())
  return writer.toUint8Array()
}

async function all<T>(given: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of given) items.push(item)
  return items
}

async function filled(
  db: Drift,
  ids: readonly (string | number | bigint)[],
  payloadOf: (n: number) => Payload | undefined,
): Promise<Collection> {
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 1000 })
  await docs.upsert({
    ids,
    vectors: clusteredVectors(ids.length, DIM, 4),
    payloads: ids.map((_, n) => payloadOf(n)),
  })
  return docs
}

/** Every type, with absences, and keys that columns would hide. */
function everything(n: number): Payload | undefined {
  if (n % 11 === 0) return undefined
  return {
    int: n * 2 ** 40,
    float: n % 2 === 0 ? n : n / 3,
    bool: n % 3 === 0,
    text: 'é'.repeat(n % 5),
    time: new Date(1.7e12 + n).toISOString(),
    sometime: n % 2 === 0 ? new Date(n).toISOString() : 'never',
    ints: [n, n + 1],
    texts: n % 4 === 0 ? [] : ['a', String(n)],
    mixed: n % 2 === 0 ? n : { deep: [n, null] },
    id: n,
    vector: 'no vector',
    'payload.id': -n,
    half: n % 2 === 0 ? 'x' : `half of a pair: \ud83d ${n}`,
    ['__proto__']: n,
    '': n,
    null: -n,
    ...(n % 7 === 0 ? { rare: true } : {}),
  }
}

describe('toArrow and fromArrow', () => {
  it.each([
    ['strings', (n: number) => `row ${n}`, 'Utf8'],
    ['numbers', (n: number) => n - 1000, 'Int64'],
    ['bigints', (n: number) => (1n << 63n) + BigInt(n), 'Uint64'],
    ['every kind', (n: number) => [n, String(n), BigInt(n), -BigInt(n) - 1n][n % 4]!, 'Utf8'],
  ])('give every row back when ids are %s', async (_, idOf, type) => {
    await withDatabase(':memory:', {}, async db => {
      const ids = Array.from({ length: 1500 }, (_, n) => idOf(n))
      const docs = await filled(db, ids, everything)
      const wanted = await contents(docs)
      const bytes = await bytesOf(docs)
      const table = tableFromIPC(bytes)
      expect(String(table.schema.fields[0]!.type)).toBe(type)
      const chunks = Array.from({ length: Math.ceil(bytes.length / 1000) }, (_, i) =>
        bytes.slice(i * 1000, (i + 1) * 1000),
      )
      const inputs = { bytes, table, stream: Readable.from(chunks), batches: docs.toArrow() }
      for (const [form, input] of Object.entries(inputs)) {
        const copy = await db.collection(`copy-${form}`, { dim: DIM, metric: 'l2' })
        expect(await copy.fromArrow(input)).toMatchObject({ rows: 1500 })
        expect(await contents(copy)).toEqual(wanted)
      }
    })
  })

  it('infer the narrowest types, and JSON text where there is none', async () => {
    await withDatabase(':memory:', {}, async db => {
      const docs = await filled(
        db,
        Array.from({ length: 50 }, (_, n) => n),
        everything,
      )
      const { schema } = tableFromIPC(await bytesOf(docs))
      expect(schema.fields.map(({ name, type }) => `${name}: ${type}`)).toEqual([
        'id: Int64',
        `vector: FixedSizeList[${DIM}]<Float32>`,
        'int: Int64',
        'float: Float64',
        'bool: Bool',
        'text: Utf8',
        'time: Timestamp<MILLISECOND, UTC>',
        'sometime: Utf8',
        'ints: List<Int64>',
        'texts: List<Utf8>',
        'mixed: Utf8',
        'payload.id: Int64',
        'payload.vector: Utf8',
        'payload.payload.id: Int64',
        'half: Utf8',
        '__proto__: Int64',
        'payload.: Int64',
        'null: Int64',
        'rare: Bool',
      ])
    })
  })

  it('give the columns that are asked for, and a schema also without rows', async () => {
    await withDatabase(':memory:', {}, async db => {
      const docs = await filled(db, [1, 2, 3], everything)
      const names: string[] = []
      for await (const batch of docs.toArrow({ columns: ['bool', 'id'] }))
        names.push(...batch.schema.fields.map(({ name }) => name))
      expect(names).toEqual(['id', 'bool'])
      await expect(docs.toArrow({ columns: ['none'] }).next()).rejects.toMatchObject({ code: 'DRIFT_ARROW' })
      const empty = await db.collection('empty', { dim: 2 })
      const table = tableFromIPC(await bytesOf(empty))
      expect([table.numRows, table.schema.fields.length]).toEqual([0, 2])
      expect(await docs.fromArrow(new Table(table.schema))).toEqual({ rows: 0, lsn: 0 })
    })
  })

  it('come in the order of pages when asked, and each says where a later call goes on', async () => {
    await withDatabase(':memory:', {}, async db => {
      const ids = Array.from(
        { length: 20_000 },
        (_, n) => [n, `row ${n}`, BigInt(n), -BigInt(n) - 1n][n % 4]!,
      )
      const docs = await filled(db, ids, everything)
      const scanned = await all(docs.scan({ limit: ids.length, vectors: false, payload: false }))
      // In the first batch only: the schema of the others has it all the same.
      await docs.updatePayload([scanned[100]!.id], { once: true })
      const whole = await all(docs.toArrow({ ordered: true }))
      const idsOf = (batches: readonly RecordBatch[]): unknown[] =>
        batches.flatMap(batch => [...batch.getChild('id')!])
      expect(whole.length).toBeGreaterThan(2)
      const text = ({ id }: { readonly id: unknown }): string =>
        typeof id === 'string' ? JSON.stringify(id) : typeof id === 'bigint' ? `${id}n` : String(id)
      expect(idsOf(whole)).toEqual(scanned.map(text))
      const [first, ...others] = whole
      const cursorOf = ({ metadata }: RecordBatch): string => metadata.get('drift.cursor')!
      await docs.delete(scanned.slice(0, 10).map(({ id }) => id))
      const rest = await all(docs.toArrow({ cursor: cursorOf(first!) }))
      expect(idsOf(rest)).toEqual(idsOf(others))
      const names = ({ schema }: RecordBatch): string[] => schema.names.map(String).sort()
      expect(names(rest[0]!)).toEqual(names(first!))
      const none = await all(docs.toArrow({ cursor: cursorOf(rest.at(-1)!) }))
      expect(none.map(({ numRows }) => numRows)).toEqual([0])
      for (const [options, code] of [
        [{ cursor: 'none' }, 'DRIFT_CURSOR'],
        [{ ordered: 1 as never }, 'DRIFT_OPTION'],
      ] as const)
        await expect(docs.toArrow(options).next()).rejects.toMatchObject({ code })
    })
  })

  it('take vectors in other forms, and other names of columns', async () => {
    await withDatabase(':memory:', {}, async db => {
      const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
      const table = tableFromArrays({
        key: ['a', 'b'],
        embedding: [
          [1, 2],
          [3, 4],
        ] as never,
      })
      await docs.fromArrow(table, { id: 'key', vector: 'embedding' })
      expect([...(await docs.get('b'))!.vector]).toEqual([3, 4])
    })
  })

  it('refuse what a row cannot hold, by code, and say how many rows are in', async () => {
    await withDatabase(':memory:', {}, async db => {
      const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
      const type = new FixedSizeList(2, new Field('item', new Float32(), true))
      const pair = vectorFromArray([[1, 2]], type)
      const good = tableToIPC(new Table({ id: vectorFromArray(['a']), vector: pair }))
      const cases: [unknown, string][] = [
        [undefined, 'DRIFT_ARROW'],
        ['text', 'DRIFT_ARROW'],
        [new Uint8Array(0), 'DRIFT_ARROW'],
        [Uint8Array.of(1, 2, 3, 4), 'DRIFT_ARROW'],
        [good.subarray(0, good.length >> 1), 'DRIFT_ARROW'],
        [[], 'DRIFT_ARROW'],
        [[3], 'DRIFT_ARROW'],
        [{ batches: 5 }, 'DRIFT_ARROW'],
        [{ [Symbol.asyncIterator]: 5 }, 'DRIFT_ARROW'],
        [{ [Symbol.iterator]: () => 5 }, 'DRIFT_ARROW'],
        [{ [Symbol.iterator]: () => ({}) }, 'DRIFT_ARROW'],
        ...[5, undefined, null].flatMap((result): [unknown, string][] => {
          const broken = { [Symbol.iterator]: () => ({ next: () => result }) }
          return [broken, { batches: broken }].map(input => [input, 'DRIFT_ARROW'])
        }),
        [new Table({ id: vectorFromArray(['a']) }), 'DRIFT_ARROW'],
        [
          new Table({
            id: vectorFromArray([null, 'a']),
            vector: vectorFromArray(
              [
                [1, 2],
                [3, 4],
              ],
              type,
            ),
          }),
          'DRIFT_ARROW',
        ],
        [new Table({ id: vectorFromArray(['a']), vector: vectorFromArray([null], type) }), 'DRIFT_ARROW'],
        [
          new Table({ id: vectorFromArray(['a']), vector: vectorFromArray([[1, null]], type) }),
          'DRIFT_ARROW',
        ],
        [new Table({ id: vectorFromArray(['a']), vector: vectorFromArray([[1, 2, 3]]) }), 'DRIFT_DIMENSION'],
        [
          new Table({ id: vectorFromArray(['a']), vector: vectorFromArray([[1, Number.NaN]], type) }),
          'DRIFT_VECTOR_VALUE',
        ],
        [new Table({ id: vectorFromArray([1n << 60n], new Int64()), vector: pair }), 'DRIFT_ARROW'],
      ]
      for (const [input, code] of cases)
        await expect(docs.fromArrow(input as never)).rejects.toMatchObject({ code, details: { rows: 0 } })
      expect(await docs.count()).toBe(0)
      expect(await docs.fromArrow(good)).toMatchObject({ rows: 1 })
      await expect(docs.fromArrow(good, { idd: 'x' } as never)).rejects.toMatchObject({
        code: 'DRIFT_UNKNOWN_OPTION',
      })
    })
  })

  it('let a stream go that they do not read to its end, and say what it threw itself', async () => {
    await withDatabase(':memory:', {}, async db => {
      const docs = await filled(
        db,
        Array.from({ length: 2000 }, (_, n) => n),
        everything,
      )
      const file = join(temporaryFolder(), 'rows.arrows')
      writeFileSync(file, await bytesOf(docs))
      const other = await db.collection('other', { dim: DIM + 1, metric: 'l2' })
      const copy = await db.collection('copy', { dim: DIM, metric: 'l2' })
      for (const [call, code] of [
        [(stream: Readable) => other.fromArrow(stream), 'DRIFT_DIMENSION'],
        [(stream: Readable) => copy.fromArrow(stream, { signal: AbortSignal.abort() }), 20],
        [(stream: Readable) => copy.fromArrow(stream, { id: 'nobody' }), 'DRIFT_ARROW'],
      ] as const) {
        const stream = createReadStream(file, { highWaterMark: 4096 })
        const closed = new Promise<void>(resolve => stream.once('close', () => resolve()))
        await expect(call(stream)).rejects.toMatchObject({ code })
        await closed
      }
      await expect(copy.fromArrow(createReadStream(`${file}.gone`))).rejects.toMatchObject({ code: 'ENOENT' })
      const buffers = async function* (): AsyncGenerator<ArrayBuffer> {
        for await (const chunk of createReadStream(file)) yield Uint8Array.from(chunk as Buffer).buffer
      }
      expect(await copy.fromArrow(buffers())).toMatchObject({ rows: 2000 })
    })
  })

  it('refuse what would lose rows or values without a word: times as ids, columns of one name', async () => {
    await withDatabase(':memory:', {}, async db => {
      const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
      const when = vectorFromArray([1.5, 1.25], new TimestampMicrosecond())
      const fields = (names: string[]) => names.map((name, i) => new Field(name, columns[i]!.type, true))
      const id = vectorFromArray(['a', 'b'], new Utf8())
      const pairs = vectorFromArray(
        [
          [1, 2],
          [3, 4],
        ],
        new FixedSizeList(2, new Field('item', new Float32(), false)),
      )
      const columns: Vector[] = [id, pairs, when, id]
      const batch = (...names: string[]) => {
        const children = columns.slice(0, names.length).map(column => column.data[0]!)
        const type = new Struct(fields(names))
        return [
          new RecordBatch(new Schema(fields(names)), makeData({ type, length: 2, nullCount: 0, children })),
        ]
      }
      for (const [input, options] of [
        [batch('x', 'vector', 'id'), {}],
        [batch('id', 'vector', 'x', 'x'), {}],
        [batch('id', 'vector', 'x', 'id'), {}],
      ] as const)
        await expect(docs.fromArrow(input, options)).rejects.toMatchObject({
          code: 'DRIFT_ARROW',
          details: { rows: 0 },
        })
      columns[2] = vectorFromArray([0, 1], new Dictionary(new TimestampMicrosecond(), new Int32()))
      await docs.fromArrow(batch('id', 'vector', 'x'))
      expect(await docs.get('a')).toMatchObject({ payload: { x: '1970-01-01T00:00:00.000Z' } })
    })
  })

  it('refuse a stream that has been cut within a message, at whatever byte', async () => {
    await withDatabase(':memory:', {}, async db => {
      const docs = await filled(db, ['a', 'b', 'c'], n => ({ n }))
      const bytes = await bytesOf(docs)
      const whole: number[] = []
      for (let length = 1; length < bytes.length; length++) {
        const copy = await db.collection('copy', { dim: DIM, metric: 'l2' })
        const part = bytes.subarray(0, length)
        const outcome = copy.fromArrow(length % 2 === 0 ? part : Readable.from([part]))
        const code = await outcome.then(
          () => undefined,
          error => error.code,
        )
        if (code === undefined) whole.push(length)
        else expect(code).toBe('DRIFT_ARROW')
      }
      // Behind the schema, and behind the batch: the mark of the end, 8 bytes, may be missing as a whole.
      expect(whole).toEqual([expect.any(Number), bytes.length - 8])
    })
  })

  it('refuse counts in the metadata that the bytes cannot hold, before the library loops over them', async () => {
    await withDatabase(':memory:', {}, async db => {
      const docs = await filled(db, ['a', 'b', 'c'], everything)
      const copy = await db.collection('copy', { dim: DIM, metric: 'l2' })
      const importing = (input: unknown): Promise<unknown> => {
        return copy.fromArrow(input as never).then(
          () => 'content',
          error => error.code,
        )
      }
      const batches = []
      for await (const batch of docs.toArrow()) batches.push(batch)
      for (const form of ['stream', 'file'] as const) {
        const whole = tableToIPC(new Table(batches), form)
        expect(await importing(Readable.from([whole.slice(0, 500), whole.slice(500)])), form).toBe('content')
        const codes = new Set<unknown>()
        // Lengths of metadata, vectors and tables all stand at a multiple of 4.
        for (let at = 0; at + 4 <= Math.min(whole.length, 6_000); at += 4) {
          const bytes = whole.slice()
          new DataView(bytes.buffer).setUint32(at, 0x0fff_ffff, true)
          const start = performance.now()
          codes.add(await importing(at % 8 === 0 ? bytes : Readable.from([bytes])))
          expect(performance.now() - start, `${form}, byte ${at}`).toBeLessThan(5_000)
        }
        expect(codes).toContain('DRIFT_ARROW')
        for (const code of codes) expect(code, form).toMatch(/^(content|DRIFT_)/)
      }
    })
  }, 60_000)

  it('stop when asked to', async () => {
    await withDatabase(':memory:', {}, async db => {
      const docs = await filled(
        db,
        Array.from({ length: 3000 }, (_, n) => n),
        everything,
      )
      const bytes = await bytesOf(docs)
      const copy = await db.collection('copy', { dim: DIM, metric: 'l2' })
      const controller = new AbortController()
      const onProgress = ({ done }: { done: number }) => {
        if (done >= 1000) controller.abort(new Error('enough'))
      }
      await expect(copy.fromArrow(bytes, { signal: controller.signal, onProgress })).rejects.toThrow('enough')
      expect(await copy.count()).toBe(1000)
      await expect(docs.toArrow({ signal: controller.signal }).next()).rejects.toThrow('enough')
    })
  })

  it('stop before they look at anything, and while they wait for a stream that has stalled', async () => {
    await withDatabase(':memory:', {}, async db => {
      const bytes = await bytesOf(await filled(db, ['a'], everything))
      const copy = await db.collection('copy', { dim: DIM, metric: 'l2' })
      const reason = new Error('enough')
      for (const input of [new Uint8Array(3), [new Uint8Array(3)], { batches: [5] }, 5]) {
        const call = copy.fromArrow(input as never, { signal: AbortSignal.abort(reason) })
        await expect(call).rejects.toBe(reason)
      }
      for (const begun of [false, true]) {
        const controller = new AbortController()
        const stalled = async function* (): AsyncGenerator<Uint8Array> {
          if (begun) yield bytes.subarray(0, 64)
          controller.abort(reason)
          await new Promise(() => undefined)
        }
        await expect(copy.fromArrow(stalled(), { signal: controller.signal })).rejects.toBe(reason)
      }
    })
  })

  it.skipIf(!hasPyarrow())('are read by pyarrow', async () => {
    await withDatabase(':memory:', {}, async db => {
      const docs = await filled(
        db,
        Array.from({ length: 300 }, (_, n) => `é${n}`),
        everything,
      )
      const file = join(temporaryFolder(), 'rows.arrows')
      writeFileSync(file, await bytesOf(docs))
      const script = `import pyarrow.ipc, json, sys
table = pyarrow.ipc.open_stream(sys.argv[1]).read_all()
table.validate(full=True)
rows = [[r['id'], r['vector'], r['int'], r['float'], r['ints'], r['time'] and int(r['time'].timestamp() * 1000 + 0.5)] for r in table.to_pylist()]
print(json.dumps(rows))`
      const rows = JSON.parse(
        execFileSync(python(), ['-c', script, file], { encoding: 'utf8', maxBuffer: 1 << 26 }),
      ) as unknown[]
      const wanted: unknown[] = []
      for await (const { id, vector, payload = {} } of docs.scan()) {
        const { int = null, float = null, ints = null, time } = payload as Record<string, never>
        wanted.push([id, [...vector], int, float, ints, time === undefined ? null : Date.parse(time)])
      }
      expect(rows).toEqual(wanted)
    })
  })
})

function python(): string {
  return process.env['DRIFT_PYTHON'] ?? 'python3'
}

function hasPyarrow(): boolean {
  try {
    execFileSync(python(), ['-c', 'import pyarrow'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
