// Proves: what is wrong with how a connection is asked for is said at once, and nobody is made to wait for an hour or to read what is no answer.
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { connect } from './index.js'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** A server that is none of ours. */
async function answering(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

it.each([
  [{ apiKey: 'secret' }, 'DRIFT_UNKNOWN_OPTION'],
  [{ timeoutMs: '10' }, 'DRIFT_OPTION'],
  [{ retries: -1 }, 'DRIFT_OPTION'],
  [null, 'DRIFT_OPTION'],
])('refuses the options %j', async (options, code) => {
  const url = await answering((_, response) => response.end('{"collections":[]}'))
  await expect(connect(url, options as never)).rejects.toMatchObject({ code })
})

it('does not wait for who says to come back in an hour', async () => {
  let asked = 0
  const url = await answering((_, response) => {
    asked++
    response
      .writeHead(429, { 'retry-after': '3600' })
      .end('{"error":{"code":"DRIFT_RATE_LIMIT","message":"later"}}')
  })
  await expect(connect(url)).rejects.toMatchObject({
    code: 'DRIFT_RATE_LIMIT',
    details: { retryAfter: 3_600 },
  })
  expect(asked).toBe(1)
})

it('says of lines that are no rows that no Drift server sent them', async () => {
  const url = await answering((request, response) => {
    if (request.url!.endsWith('/scan')) response.end('<html>\n')
    else response.end('{"collections":[],"name":"docs","dim":3,"metric":"l2"}')
  })
  const docs = await (await connect(url)).collection('docs')
  await expect(docs.scan().next()).rejects.toMatchObject({ code: 'DRIFT_ANSWER' })
})
