// From an index file of hnswlib (hnswlib-node's writeIndex, Python's save_index) to a database: the same vectors and labels, and from then on
// durable, filterable and open to deletes. It reads the file itself, so hnswlib need not be installed. `node migrate.mjs index.dat l2 FOLDER`
import { open } from 'node:fs/promises'
import { Drift } from '@drift/server'

const BATCH_ROWS = 1_000
const [file, metric, folder = './migrated'] = process.argv.slice(2)
if (file === undefined || !['l2', 'ip', 'cosine'].includes(metric)) {
  console.error('usage: node migrate.mjs index.dat l2|ip|cosine [FOLDER]')
  process.exit(2)
}

/** hnswlib keeps vectors and labels only: what you have beside them, by label, becomes the payload. */
function payloadOf(label) {
  return { label }
}

/** The header: places in a row are in bytes. Links of the upper levels come behind the rows and are not needed. */
async function readHeader(index) {
  const { buffer: header } = await index.read(Buffer.alloc(96), 0, 96, 0)
  const at = offset => Number(header.readBigUInt64LE(offset))
  const [rows, stride, labelAt, vectorAt] = [at(16), at(24), at(32), at(40)]
  const dim = (labelAt - vectorAt) / 4
  const { size } = await index.stat()
  if (!(stride === labelAt + 8 && dim >= 1 && dim <= 4096 && size >= 96 + rows * stride)) {
    throw new Error(`${file} is no index of float vectors that hnswlib wrote, or was cut`)
  }
  return { rows, stride, labelAt, vectorAt, dim }
}

const index = await open(file)
const { rows, stride, labelAt, vectorAt, dim } = await readHeader(index)
const db = await Drift.open(folder)
const docs = await db.collection('docs', { dim, metric })
let deleted = 0
for (let first = 0; first < rows; first += BATCH_ROWS) {
  const count = Math.min(BATCH_ROWS, rows - first)
  const { buffer: block } = await index.read(
    Buffer.alloc(count * stride),
    0,
    count * stride,
    96 + first * stride,
  )
  const batch = []
  for (let row = 0; row < count * stride; row += stride) {
    // The third byte of a row's list of links marks it as deleted.
    if (block[row + 2] & 1) {
      deleted++
      continue
    }
    const vector = new Float32Array(block.buffer.slice(row + vectorAt, row + labelAt))
    const id = Number(block.readBigUInt64LE(row + labelAt))
    batch.push({ id, vector, payload: payloadOf(id) })
  }
  if (batch.length > 0) await docs.upsert(batch)
}
await index.close()
console.log(`${await docs.count()} rows of ${dim} dimensions written, ${deleted} had been deleted`)
await db.close()
// From here on:
//   addPoint(vector, label)          -> await docs.upsert([{ id: label, vector }])
//   searchKnn(query, k, filterFn)    -> await docs.search(query, { k, filter: { year: { $gte: 2020 } } })
//   markDelete(label)                -> await docs.delete([label])          which gives its space back
//   resizeIndex, writeIndex, setEf   -> not needed: it grows, it is on disk, a search asks for a recall
