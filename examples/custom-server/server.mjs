// A server of your own atop @drift/server and @drift/http: it takes texts, embeds them with any function, and finds the
// nearest. `node server.mjs FOLDER`, then:
//   curl -X PUT localhost:PORT/notes/1 -H 'content-type: application/json' -d '{"text":"a torn page is found","lang":"en"}'
//   curl 'localhost:PORT/notes?q=torn+pages'
import { closeOnSignals, principalOf, serve } from '@drift/http'
import { Drift } from '@drift/server'

const DIM = 256
const db = await Drift.open(process.argv[2] ?? './notes')
const notes = await db.collection('notes', { dim: DIM, metric: 'cosine' })

/** Counts of hashed three-letter runs: texts that share words are near. Put a model of your own here. */
function embed(text) {
  const vector = new Float32Array(DIM)
  const padded = ` ${text.toLowerCase().replace(/\W+/g, ' ').trim()} `
  for (let i = 0; i + 3 <= padded.length; i++) {
    let hash = 0
    for (let j = i; j < i + 3; j++) hash = (Math.imul(hash, 31) + padded.charCodeAt(j)) >>> 0
    vector[hash % DIM] += 1
  }
  return vector
}

const server = await serve({
  db,
  port: 0,
  logger: false,
  routes(app) {
    app.put('/notes/:id', {
      config: { scope: 'write' },
      schema: {
        body: {
          type: 'object',
          required: ['text'],
          additionalProperties: false,
          properties: { text: { type: 'string', minLength: 1 }, lang: { type: 'string' } },
        },
      },
      async handler(request) {
        const { id } = request.params
        const payload = { ...request.body, by: principalOf(request).id }
        return notes.upsert([{ id, vector: embed(request.body.text), payload }])
      },
    })
    app.get('/notes', {
      config: { scope: 'read' },
      schema: {
        querystring: {
          type: 'object',
          required: ['q'],
          properties: { q: { type: 'string', minLength: 1 }, lang: { type: 'string' } },
        },
      },
      async handler(request) {
        const { q, lang } = request.query
        // An engine without filters says so; what it finds is never cut afterwards.
        const filter = lang === undefined ? {} : { filter: { lang } }
        const hits = await notes.search(embed(q), { k: 5, payload: true, ...filter })
        return hits.map(({ id, score, payload }) => ({ id, score, text: payload.text }))
      },
    })
  },
})
closeOnSignals(server, () => db.close())
console.log(server.url)
