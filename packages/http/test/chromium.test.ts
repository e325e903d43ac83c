// The client in a real page of Chromium, served from another origin than the server's: it writes, searches, reads and deletes with a key,
// gets the engine's codes, and a page whose origin is not named gets nothing. Without Chromium (CHROMIUM, or in PATH) these are skipped.
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { delimiter, join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKey } from '../src/index.js'
import { bundledClient } from './browser.js'
import { started, temporaryFolder } from './fixture.js'

type Client = typeof import('@drift/client')

const program = findChromium()
/** A sandbox of Chromium's own needs a user that is not root. */
const args = ['--disable-gpu', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])]

describe.skipIf(program === undefined)('a page in Chromium', () => {
  let browser: Browser
  const pages = createServer((_, response) => {
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>a page</title>')
  })
  let origin: string

  beforeAll(async () => {
    await new Promise<void>(resolve => pages.listen(0, '127.0.0.1', resolve))
    origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`
    browser = await chromium.launch({ executablePath: program!, args })
  })
  afterAll(async () => {
    await browser?.close()
    pages.close()
  })

  const open = async (): Promise<Page> => {
    const page = await browser.newPage()
    await page.goto(origin)
    await page.addScriptTag({ content: await bundledClient() })
    return page
  }

  it('of an origin that is named writes, searches, reads, scans and deletes, and gets the codes of the engine', async () => {
    const { key, hash } = createKey()
    const { url } = await started({
      db: temporaryFolder(),
      keys: [{ id: 'page', hash, scope: 'admin' }],
      origins: [origin],
    })
    const page = await open()
    const seen = await page.evaluate(
      async ([url, key]) => {
        const { connect } = (globalThis as unknown as { drift: Client }).drift
        const code = (work: Promise<unknown>) =>
          work.then(
            () => 'no error',
            error => error.code,
          )
        const db = await connect(url!, { key: key! })
        const docs = await db.collection('docs', { dim: 3, metric: 'l2' })
        const vectors = Float32Array.of(0, 0, 0, 1, 1, 1, 5, 5, 5)
        await docs.upsert({ ids: ['a', 2, 3n], vectors, payloads: [{ word: 'ä' }, undefined, undefined] })
        const hits = await docs.search(Float32Array.of(1, 1, 0.9), { k: 2 })
        const got = await docs.get('a')
        const scanned: string[] = []
        for await (const { id } of docs.scan()) scanned.push(String(id))
        const { deleted } = await docs.delete([2])
        return {
          hits: hits.map(({ id, distance }) => [String(id), Math.round(distance * 100) / 100]),
          word: (got as unknown as { payload: { word: string } }).payload.word,
          scanned: scanned.sort(),
          deleted,
          count: await docs.count(),
          dim: await code(docs.upsert([{ id: 1, vector: Float32Array.of(1) }])),
          key: await code(connect(url!, { retries: 0 })),
        }
      },
      [url, key],
    )
    expect(seen).toEqual({
      hits: [
        ['2', 0.01],
        ['a', 2.81],
      ],
      word: 'ä',
      scanned: ['2', '3', 'a'],
      deleted: 1,
      count: 2,
      dim: 'DRIFT_DIMENSION',
      key: 'DRIFT_UNAUTHORIZED',
    })
    await page.close()
  })

  it('of an origin that is not named reads no answer, and writes nothing', async () => {
    const { key, hash } = createKey()
    const { url, db } = await started({
      db: temporaryFolder(),
      keys: [{ id: 'page', hash, scope: 'admin' }],
      origins: ['https://app.example.com'],
    })
    const page = await open()
    const code = await page.evaluate(
      async ([url, key]) => {
        const { connect } = (globalThis as unknown as { drift: Client }).drift
        return connect(url!, { key: key!, retries: 0 }).then(
          () => 'no error',
          error => error.code,
        )
      },
      [url, key],
    )
    expect(code).toBe('DRIFT_UNREACHABLE')
    expect(db.collections()).toEqual([])
    await page.close()
  })
})

function findChromium(): string | undefined {
  const given = process.env['CHROMIUM']
  if (given) return given
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const names = ['chromium', 'chromium-browser', 'google-chrome']
  return folders.flatMap(folder => names.map(name => join(folder, name))).find(path => existsSync(path))
}
