// What a user of @drift/http writes: a server with a key, the client, which comes with it, and a handler for Fetch.
import { strictEqual } from 'node:assert'
import { connect } from '@drift/client'
import { createHandler, createKey, serve } from '@drift/http'

const { key, hash } = createKey()
const server = await serve({
  db: ':memory:',
  port: 0,
  logger: false,
  keys: [{ id: 'me', hash, scope: 'admin', collections: ['*'] }],
})
const db = await connect(server.url, { key })
const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
await docs.upsert([
  { id: 1, vector: [0, 1] },
  { id: 2, vector: [1, 0] },
])
strictEqual((await docs.search([1, 0.1], { k: 1 }))[0]?.id, 2)
const handler = createHandler(server.db, { open: true })
strictEqual((await handler.fetch(new Request('http://any/v1/collections/docs'))).status, 200)
await handler.close()
await server.close()
console.log('http works')
