// Retrieval for a language model, inside your own process: split texts, store the parts with their vectors, find the parts that a question
// needs, filter by where they come from, replace and forget documents. `node rag.mjs FOLDER 'a question'`
import { Drift } from '@drift/server'

const DIM = 256
const WORDS = /[\p{L}\p{N}]+/gu
const [folder = './rag', question = 'how is a torn page found?'] = process.argv.slice(2)

/** Put your model here: texts in, one vector of DIM numbers for each out. This one counts three-letter runs: no meaning, no download. */
async function embed(texts) {
  return texts.map(text => {
    const vector = new Array(DIM).fill(0)
    const words = text.toLowerCase().match(WORDS) ?? []
    const padded = ` ${words.join(' ')} `
    for (let i = 0; i + 3 <= padded.length; i++) {
      let hash = 0
      for (let j = i; j < i + 3; j++) hash = (Math.imul(hash, 31) + padded.charCodeAt(j)) >>> 0
      vector[hash % DIM] += 1
    }
    return vector
  })
}

function hasWords(text) {
  return text.search(WORDS) >= 0
}

const db = await Drift.open(folder)
const parts = await db.collection('parts', { dim: DIM, metric: 'cosine', indexes: { doc: 'keyword' } })

/** Store a document, in place of what it was before. Durable when this resolves. */
async function put(doc, text, source) {
  // A part without a word has no direction: nothing would find it.
  const sentences = (text.match(/[^.!?]+[.!?]*/g) ?? []).map(part => part.trim()).filter(hasWords)
  const vectors = await embed(sentences)
  const rows = sentences.map((part, n) => ({
    id: `${doc}#${n}`,
    vector: vectors[n],
    payload: { doc, n, source, text: part },
  }))
  await parts.upsert(rows)
  // A text that has become shorter leaves no part behind.
  await parts.delete({ filter: { doc, n: { $gte: rows.length } } })
}

/** What to put in front of the question. `filter` is any condition on payloads: { source: 'manual' }. */
async function contextOf(asked, filter = {}) {
  if (!hasWords(asked)) return []
  const [vector] = await embed([asked])
  const hits = await parts.search(vector, { k: 3, payload: true, filter })
  return hits.map(({ score, payload }) => ({ score: Number(score.toFixed(3)), ...payload }))
}

await put(
  'storage',
  'Each page has a checksum. A torn page is found when it is read. Old pages are merged.',
  'manual',
)
await put('cats', 'The cat sleeps on the warm roof. It wakes when it rains.', 'diary')
await put('cats', 'The cat sleeps.', 'diary')

for (const { score, doc, text } of await contextOf(question)) console.log(score, doc, text)
console.log('from the diary:', (await contextOf(question, { source: 'diary' })).length)

await parts.delete({ filter: { doc: 'cats' } })
console.log('parts that are left:', await parts.count())
await db.close()
