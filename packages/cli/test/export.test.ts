// Proves: an export that was broken off, by Ctrl-C, a kill or an error, goes on behind its last whole page, and the file has
// every row that stayed exactly once, whatever was written meanwhile; of another export's place nothing is taken.
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from '@drift/client'
import { serve } from '@drift/http'
import { type Collection, Drift, type Id } from '@drift/server'
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

describe('an export', () => {
  it.each(['embedded', 'from a server'])(
    'to .arrow stops when it is told to, and leaves nothing, %s',
    async kind => {
      const db = await Drift.open(':memory:')
      const server = kind === 'embedded' ? undefined : await serve({ db, port: 0, logger: false })
      const remote = server && (await connect(server.url))
      onTestFinished(async () => {
        await remote?.close()
        await server?.close()
        await db.close()
      })
      // Wide rows: a batch holds 256 of them.
      const docs = await db.collection('wide', { dim: 4096, metric: 'l2' })
      const ids = Array.from({ length: 2_000 }, (_, n) => n)
      await docs.upsert({ ids, vectors: new Float32Array(2_000 * 4_096) })
      const path = join(folder, `wide-${kind.length}.arrow`)
      const rows = remote ? await remote.collection('wide') : docs
      expect(await stoppedAt(rows, path, 256)).toEqual({ rows: 0, skipped: 0, stopped: true })
      expect([existsSync(path), ...leftOf(path)]).toEqual([false, false, false, false])
    },
  )

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
    ]
    for (const [n, [run, expected]] of anew.entries()) {
      expect(await stoppedAt(docs, path, 150, { target: 'a' }), String(n)).toMatchObject({ stopped: true })
      expect(await run(), String(n)).toEqual(expected)
      const ids = idsIn(path)
      expect([ids.length, new Set(ids).size]).toEqual([expected.rows, expected.rows])
      rmSync(path)
    }
  })

  it.each(['SIGKILL', 'SIGINT'] as const)('of a process that %s ends goes on', async signal => {
    const rows = 100_000
    const path = join(folder, `db-${signal}`)
    {
      await using db = await Drift.open(path)
      const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
      await docs.upsert({ ids: Array.from({ length: rows }, (_, n) => n), vectors: new Float32Array(rows) })
    }
    const out = join(folder, `${signal}.jsonl`)
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
