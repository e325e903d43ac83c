// Proves: an export that was broken off, by Ctrl-C, a kill or an error, goes on behind its last whole page, and the file has
// every row that stayed exactly once, whatever was written meanwhile; of another export's place nothing is taken. An Arrow file
// goes on at a batch, and begins anew where its columns no longer hold the rows.
import { once } from 'node:events'
import { appendFileSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from '@drift/client'
import { serve } from '@drift/http'
import { type Collection, Drift, type Id } from '@drift/server'
import { tableFromIPC } from 'apache-arrow'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type CliError, EXIT, type ExportOptions, type ExportResult, exportFile } from '../src/index.js'
import { drift, folder, start } from './fixture.js'

const ROWS = 500
const PAGE_ROWS = 100

async function filled(): Promise<{ db: Drift; docs: Collection }> {
  const db = await Drift.open(':memory:')
  onTestFinished(() => db.close())
  const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
  const payload = (n: number): Record<string, unknown> => ({ even: n % 2 === 0, [`key ${n % 3}`]: n })
  await docs.upsert(Array.from({ length: ROWS }, (_, n) => ({ id: n, vector: [n, 1], payload: payload(n) })))
  return { db, docs }
}

/** Stopped by its signal when so many rows are written. */
function stoppedAt(
  rows: Parameters<typeof exportFile>[0],
  path: string,
  stopAt: number,
  options: Partial<ExportOptions> = {},
): Promise<ExportResult> {
  const stop = new AbortController()
  const onProgress = (done: number): void => void (done === stopAt && stop.abort())
  return exportFile(rows, path, { pageRows: PAGE_ROWS, ...options, signal: stop.signal, onProgress })
}

const resumed = (
  rows: Parameters<typeof exportFile>[0],
  path: string,
  options: Partial<ExportOptions> = {},
) => exportFile(rows, path, { pageRows: PAGE_ROWS, resume: true, onProgress: () => undefined, ...options })

function idsIn(path: string): Id[] {
  if (/\.arrows?$/.test(path))
    return Array.from(tableFromIPC(readFileSync(path)).getChild('id')!, id => Number(id))
  const lines = (name: string): string[] => readFileSync(name, 'utf8').trimEnd().split('\n')
  if (path.endsWith('.jsonl')) return lines(path).map(line => (JSON.parse(line) as { id: Id }).id)
  if (path.endsWith('.csv'))
    return lines(path)
      .slice(1)
      .map(line => Number.parseInt(line, 10))
  return lines(`${path}.ids.jsonl`).map(line => JSON.parse(line) as Id)
}

const leftOf = (path: string): boolean[] =>
  ['.part', '.ids.jsonl.part', '.drift-export.json'].map(end => existsSync(`${path}${end}`))

describe.each(['embedded', 'from a server'])('an export, %s', kind => {
  it.each(['jsonl', 'csv', 'npy', 'fvecs'])(
    'to .%s that was stopped goes on while rows come and go, and has each that stays once',
    async format => {
      const { db, docs } = await filled()
      const server = kind === 'embedded' ? undefined : await serve({ db, port: 0, logger: false })
      const remote = server && (await connect(server.url))
      onTestFinished(async () => {
        await remote?.close()
        await server?.close()
      })
      const rows = remote ? await remote.collection('docs') : docs
      const path = join(folder, `${server ? 'far' : 'near'}.${format}`)
      expect(await stoppedAt(rows, path, 150)).toEqual({ rows: 200, skipped: 0, stopped: true })
      expect(existsSync(path)).toBe(false)
      await docs.delete(Array.from({ length: 50 }, (_, n) => n * 10))
      await docs.upsert(
        Array.from({ length: 50 }, (_, n) => ({ id: n * 10 + 1, vector: [n, 2], payload: { new: n } })),
      )
      await docs.flush()
      const result = await resumed(rows, path)
      expect(result).toMatchObject({ skipped: 200, stopped: false })
      const ids = idsIn(path)
      expect(ids.length).toBe(result.rows)
      expect(new Set(ids).size).toBe(ids.length)
      const stayed = Array.from({ length: ROWS }, (_, n) => n).filter(n => n % 10 !== 0)
      expect(stayed.filter(id => !ids.includes(id))).toEqual([])
      expect(leftOf(path)).toEqual([false, false, false])
      const again = join(folder, `db-${server ? 'far' : 'near'}-${format}`)
      const apart = result.idsFile ? ['--ids', result.idsFile] : []
      const { out } = await drift('import', again, 'docs', path, '--metric', 'l2', ...apart)
      expect(out).toBe(`${result.rows} rows written`)
    },
  )
})

/** Wide rows, of which a batch holds 256, and a payload whose columns take all rows to be known. */
async function wide(db: Drift, name = 'wide', first = 0): Promise<Collection> {
  const docs = await db.collection(name, { dim: 4_096, metric: 'l2' })
  await docs.upsert({
    ids: Array.from({ length: WIDE_ROWS }, (_, n) => n),
    vectors: Float32Array.from({ length: WIDE_ROWS * 4_096 }, (_, i) => (first + i) % 8_191),
    payloads: Array.from({ length: WIDE_ROWS }, (_, n) =>
      n % 3 === 0 ? undefined : { n: n % 500 === 1 ? n / 2 : n, [`rare ${n % 400}`]: [n] },
    ),
  })
  return docs
}

const WIDE_ROWS = 1_500

describe('an Arrow export', () => {
  it.each([
    ['arrow', 'embedded'],
    ['arrows', 'embedded'],
    ['arrow', 'from a server'],
    ['arrows', 'from a server'],
  ])('to .%s that was stopped goes on, and is the file of one run, %s', async (format, kind) => {
    const db = await Drift.open(':memory:')
    const docs = await wide(db)
    const server = kind === 'embedded' ? undefined : await serve({ db, port: 0, logger: false })
    const remote = server && (await connect(server.url))
    onTestFinished(async () => {
      await remote?.close()
      await server?.close()
      await db.close()
    })
    const rows = remote ? await remote.collection('wide') : docs
    const path = join(folder, `stopped-${kind.length}.${format}`)
    expect(await stoppedAt(rows, path, 512)).toEqual({ rows: 512, skipped: 0, stopped: true })
    expect(leftOf(path)).toEqual([true, false, true])
    // What came behind the place before the process ended.
    appendFileSync(`${path}.part`, 'half of a batch')
    expect(await resumed(rows, path)).toEqual({ rows: WIDE_ROWS, skipped: 512, stopped: false })
    expect(leftOf(path)).toEqual([false, false, false])
    const whole = join(folder, `whole-${kind.length}.${format}`)
    expect(await resumed(rows, whole)).toEqual({ rows: WIDE_ROWS, skipped: 0, stopped: false })
    expect(readFileSync(path).equals(readFileSync(whole))).toBe(true)
    const again = await db.collection('again', { dim: 4_096, metric: 'l2' })
    await again.fromArrow(readFileSync(path))
    for (const id of [0, 1, 2, WIDE_ROWS - 1]) expect(await again.get(id)).toEqual(await docs.get(id))
  })

  it('goes on while rows of its columns come and go, and has each that stays once', async () => {
    const db = await Drift.open(':memory:')
    onTestFinished(() => db.close())
    const docs = await wide(db)
    const path = join(folder, 'churned.arrow')
    expect(await stoppedAt(docs, path, 512)).toMatchObject({ rows: 512 })
    const gone = Array.from({ length: 100 }, (_, n) => n * 12)
    await docs.delete(gone)
    await docs.upsert([{ id: WIDE_ROWS, vector: new Float32Array(4_096), payload: { n: 0.5 } }])
    await docs.flush()
    expect(await resumed(docs, path)).toMatchObject({ skipped: 512, stopped: false })
    const ids = idsIn(path)
    expect(new Set(ids).size).toBe(ids.length)
    const stayed = Array.from({ length: WIDE_ROWS }, (_, n) => n).filter(n => !gone.includes(n))
    expect(stayed.filter(id => !ids.includes(id))).toEqual([])
  })

  it('begins anew where rows came that its columns do not hold, and where what was written is damaged', async () => {
    const db = await Drift.open(':memory:')
    onTestFinished(() => db.close())
    const docs = await wide(db)
    const path = join(folder, 'anew.arrow')
    expect(await stoppedAt(docs, path, 512)).toMatchObject({ rows: 512 })
    await docs.upsert([{ id: 'text', vector: new Float32Array(4_096), payload: { more: true } }])
    expect(await stoppedAt(docs, path, 512, { resume: true })).toMatchObject({ rows: 512, skipped: 0 })
    const part = readFileSync(`${path}.part`)
    writeFileSync(`${path}.part`, part.fill(0, 0, 4_096))
    expect(await resumed(docs, path)).toEqual({ rows: WIDE_ROWS + 1, skipped: 0, stopped: false })
    const table = tableFromIPC(readFileSync(path))
    expect([table.numRows, table.getChild('more')?.toArray().filter(Boolean).length]).toEqual([
      WIDE_ROWS + 1,
      1,
    ])
  })

  it('begins anew where the file is another one, of the same length', async () => {
    const db = await Drift.open(':memory:')
    onTestFinished(() => db.close())
    const docs = await wide(db)
    const other = await wide(db, 'other', 1)
    const path = join(folder, 'mine.arrow')
    await stoppedAt(docs, path, 512)
    const theirs = join(folder, 'theirs.arrow')
    await stoppedAt(other, theirs, 512)
    const [mine, part] = [`${path}.part`, `${theirs}.part`].map(name => readFileSync(name))
    expect([part!.length, part!.equals(mine!)]).toEqual([mine!.length, false])
    writeFileSync(`${path}.part`, part!)
    expect(await resumed(docs, path)).toEqual({ rows: WIDE_ROWS, skipped: 0, stopped: false })
    const whole = join(folder, 'mine-whole.arrow')
    await resumed(docs, whole)
    expect(readFileSync(path).equals(readFileSync(whole))).toBe(true)
  })

  it('from a server that gives one answer at a time begins anew there too', async () => {
    const db = await Drift.open(':memory:')
    const docs = await wide(db)
    const server = await serve({ db, port: 0, logger: false, limits: { longCalls: 1 } })
    const remote = await connect(server.url)
    onTestFinished(async () => {
      await remote.close()
      await server.close()
      await db.close()
    })
    const rows = await remote.collection('wide')
    const path = join(folder, 'one-call.arrow')
    expect(await stoppedAt(rows, path, 512)).toMatchObject({ rows: 512, stopped: true })
    await docs.upsert([{ id: 'text', vector: new Float32Array(4_096) }])
    expect(await resumed(rows, path)).toEqual({ rows: WIDE_ROWS + 1, skipped: 0, stopped: false })
  })

  it('that is stopped while it looks at what was written says what had been', async () => {
    const db = await Drift.open(':memory:')
    onTestFinished(() => db.close())
    const docs = await wide(db)
    const path = join(folder, 'looked-at.arrow')
    await stoppedAt(docs, path, 512)
    const stopped = await resumed(docs, path, { signal: AbortSignal.abort() })
    expect(stopped).toEqual({ rows: 512, skipped: 512, stopped: true })
    expect(await resumed(docs, path)).toEqual({ rows: WIDE_ROWS, skipped: 512, stopped: false })
  })

  it('that is stopped before its first page leaves nothing', async () => {
    const db = await Drift.open(':memory:')
    onTestFinished(() => db.close())
    const path = join(folder, 'early.arrow')
    const stopped = await stoppedAt(await wide(db), path, 256, { pageRows: 1_000 })
    expect(stopped).toEqual({ rows: 0, skipped: 0, stopped: true })
    expect([existsSync(path), ...leftOf(path)]).toEqual([false, false, false, false])
  })
})

describe('an export', () => {
  it('that an error broke off says how far it came, and goes on there', async () => {
    const { docs } = await filled()
    const path = join(folder, 'failed.jsonl')
    const failing = exportFile(docs, path, {
      pageRows: PAGE_ROWS,
      onProgress(rows) {
        if (rows === 250) throw Object.assign(new Error('no line'), { code: 'DRIFT_TEST' })
      },
    })
    const message = 'no line (200 rows are written; --resume goes on behind them)'
    await expect(failing).rejects.toMatchObject({ code: 'DRIFT_TEST', message } satisfies Partial<CliError>)
    expect(await resumed(docs, path)).toEqual({ rows: ROWS, skipped: 200, stopped: false })
    expect(new Set(idsIn(path)).size).toBe(ROWS)
  })

  it('begins anew without `resume`, and when what was written is of something else or was cut', async () => {
    const { docs } = await filled()
    const path = join(folder, 'other.jsonl')
    const whole = { rows: ROWS, skipped: 0, stopped: false }
    const anew: [() => Promise<ExportResult>, ExportResult][] = [
      [() => exportFile(docs, path, { onProgress: () => undefined }), whole],
      [() => resumed(docs, path, { target: 'b' }), whole],
      [() => resumed(docs, path, { target: 'a', filter: { even: true } }), { ...whole, rows: ROWS / 2 }],
      [
        () => {
          truncateSync(`${path}.part`, 5_000)
          return resumed(docs, path, { target: 'a' })
        },
        whole,
      ],
      [
        () => {
          // As long, and of another collection.
          const other = readFileSync(`${path}.part`, 'utf8').replaceAll('"id":1', '"id":3')
          writeFileSync(`${path}.part`, other)
          return resumed(docs, path, { target: 'a' })
        },
        whole,
      ],
    ]
    for (const [n, [run, expected]] of anew.entries()) {
      expect(await stoppedAt(docs, path, 150, { target: 'a' }), String(n)).toMatchObject({ stopped: true })
      expect(await run(), String(n)).toEqual(expected)
      const ids = idsIn(path)
      expect([ids.length, new Set(ids).size]).toEqual([expected.rows, expected.rows])
      rmSync(path)
    }
  })

  it.each([
    ['jsonl', 'SIGKILL', 1],
    ['jsonl', 'SIGINT', 1],
    ['arrow', 'SIGKILL', 128],
    ['arrow', 'SIGINT', 128],
  ] as const)('to .%s of a process that %s ends goes on', async (format, signal, dim) => {
    const rows = 100_000
    const path = join(folder, `db-${format}-${signal}`)
    {
      await using db = await Drift.open(path)
      const docs = await db.collection('docs', { dim, metric: 'l2' })
      for (let from = 0; from < rows; from += 10_000) {
        const ids = Array.from({ length: 10_000 }, (_, n) => from + n)
        await docs.upsert({ ids, vectors: new Float32Array(10_000 * dim) })
      }
    }
    const out = join(folder, `${signal}.${format}`)
    const child = start(['export', path, 'docs', out, '--json'])
    await expect
      .poll(() => existsSync(`${out}.drift-export.json`), { timeout: 20_000, interval: 2 })
      .toBe(true)
    child.kill(signal)
    const [code] = (await once(child, 'exit')) as [number | null]
    expect(code).toBe(signal === 'SIGINT' ? EXIT.stopped : null)
    const { json } = await drift('export', path, 'docs', out, '--resume', '--json')
    expect(json).toMatchObject({ rows, stopped: false })
    expect((json as ExportResult).skipped).toBeGreaterThan(0)
    expect(new Set(idsIn(out)).size).toBe(rows)
  })
})
