// The error and the rate of every quantizer on real rows, as the table of docs/quantizers.md. Build first.
//   node bench/quantizers.mjs FOLDER [--rates] [--only TEXT]
// FOLDER holds base and query as .npy of f16, f32 or u8, row-major. --rates: times instead of errors, on fewer rows, for a
// machine where nothing else runs.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { kernels } from '@drift/native'
import { codesLength, sq8Lut, sq8LutDistances, trainPq, trainSign, trainSq8 } from '../dist/index.js'

const [folder, ...flags] = process.argv.slice(2)
const rates = flags.includes('--rates')
const only = flags.includes('--only') ? flags[flags.indexOf('--only') + 1] : ''
const base = readMatrix('base')
const queries = readMatrix('query')
const { dim } = base
const QUERIES = 200
const RATE_ROWS = 16_384 // codes fit the caches that buckets in use are in
const K = 10
const WIDE = 100

if (rates) printRates()
else printErrors()

function quantizers() {
  // How good codebooks are does not change how long codes take.
  const effort = rates ? { iterations: 1, sampleRows: 1024 } : {}
  const pq = (subspaces, bits, rotate) => ({
    name: `PQ ${subspaces} x ${bits}${rotate ? ', rotated' : ''}`,
    make: rows => trainPq(rows, { dim, subspaces, bits, rotate, seed: 1, ...effort }),
  })
  return [
    { name: 'SQ8', make: rows => trainSq8(rows, { dim }) },
    { name: 'SQ8, clip 0.01', make: rows => trainSq8(rows, { dim, clip: 0.01 }) },
    { name: 'SQ8, clip 0', make: rows => trainSq8(rows, { dim, clip: 0 }) },
    pq(dim / 2, 8, false),
    pq(dim / 4, 8, false),
    pq(dim / 4, 8, true),
    pq(dim / 8, 8, false),
    pq(dim / 8, 8, true),
    pq(dim, 4, false),
    pq(dim / 2, 4, false),
    pq(dim / 2, 4, true),
    pq(dim / 4, 4, false),
    pq(dim / 4, 4, true),
    { name: 'sign', make: rows => trainSign(rows, { dim, seed: 1 }) },
  ].filter(({ name }) => name.includes(only))
}

function printErrors() {
  const { rows, count } = base
  const index = Array.from({ length: QUERIES }, (_, i) => Math.floor((i * queries.count) / QUERIES))
  const truth = index.map(query => truthOf(queryAt(query)))
  const spread = spreadOf(rows)
  print('| quantizer | bytes a row | lost | distance error | bias | 10 of 10 | 10 in 100 | train s |')
  for (const { name, make } of quantizers()) {
    const start = performance.now()
    const quantizer = make(rows)
    const seconds = (performance.now() - start) / 1000
    const codes = quantizer.encode(rows)
    const lost = lossOf(quantizer, codes) / spread
    const estimates = new Float32Array(count)
    let [hits, wideHits, wrong, bias, pairs] = [0, 0, 0, 0, 0]
    for (const [i, query] of index.entries()) {
      const { exact, limit } = truth[i]
      quantizer.distances('l2', queryAt(query), codes, count, estimates)
      const nearest = topK(estimates, WIDE)
      hits += nearest.subarray(0, K).reduce((sum, row) => sum + (exact[row] <= limit), 0)
      wideHits += Math.min(
        K,
        nearest.reduce((sum, row) => sum + (exact[row] <= limit), 0),
      )
      for (let row = i; row < count; row += 97) {
        if (exact[row] === 0) continue
        const error = estimates[row] / exact[row] - 1
        wrong += Math.abs(error)
        bias += error
        pairs++
      }
    }
    const cells = [
      name,
      (codesLength(quantizer, 3200) / 3200).toString(),
      percent(lost),
      percent(wrong / pairs),
      percent(bias / pairs),
      (hits / (K * QUERIES)).toFixed(3),
      (wideHits / (K * QUERIES)).toFixed(3),
      seconds.toFixed(1),
    ]
    print(`| ${cells.join(' | ')} |`)
  }
}

function printRates() {
  const rows = base.rows.subarray(0, RATE_ROWS * dim)
  const out = new Float32Array(RATE_ROWS)
  const query = queryAt(0)
  print('| quantizer | encode ns | decode ns | distances ns | query us |')
  for (const { name, make } of quantizers()) {
    const quantizer = make(rows)
    const codes = quantizer.encode(rows)
    const few = quantizer.blockRows
    const prepare = nsOf(() => quantizer.distances('l2', query, codes, few, out))
    const all = nsOf(() => quantizer.distances('l2', query, codes, RATE_ROWS, out))
    const cells = [
      name,
      (nsOf(() => quantizer.encode(rows, codes)) / RATE_ROWS).toFixed(0),
      (nsOf(() => quantizer.decode(codes, RATE_ROWS)) / RATE_ROWS).toFixed(0),
      ((all - prepare) / (RATE_ROWS - few)).toFixed(1),
      (prepare / 1000).toFixed(1),
    ]
    print(`| ${cells.join(' | ')} |`)
    if (name !== 'SQ8') continue
    const lut = sq8Lut(quantizer, query)
    const scan = nsOf(() => sq8LutDistances(lut, codes, 0, RATE_ROWS, out)) / RATE_ROWS
    const table = nsOf(() => sq8Lut(quantizer, query, 'l2', lut)) / 1000
    print(`| SQ8 by table | | | ${scan.toFixed(1)} | ${table.toFixed(1)} |`)
  }
}

/** The best of five calls after one. */
function nsOf(action) {
  action()
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    const start = performance.now()
    action()
    best = Math.min(best, performance.now() - start)
  }
  return best * 1e6
}

function truthOf(query) {
  const exact = new Float32Array(base.count)
  kernels.distances('l2', query, base.rows, dim, 0, base.count, exact)
  return { exact, limit: exact[topK(exact, K)[K - 1]] }
}

function topK(distances, k) {
  const positions = new Uint32Array(k)
  kernels.topK(distances, distances.length, k, positions, new Float32Array(k))
  return positions
}

function queryAt(row) {
  return queries.rows.slice(row * dim, (row + 1) * dim)
}

/** Sum of the squared distances to the mean. */
function spreadOf(rows) {
  let spread = 0
  for (let d = 0; d < dim; d++) {
    let sum = 0
    let squares = 0
    for (let i = d; i < rows.length; i += dim) {
      sum += rows[i]
      squares += rows[i] * rows[i]
    }
    spread += squares - (sum * sum) / (rows.length / dim)
  }
  return spread
}

function lossOf(quantizer, codes) {
  const decoded = quantizer.decode(codes, base.count)
  let loss = 0
  for (let i = 0; i < decoded.length; i++) loss += (decoded[i] - base.rows[i]) ** 2
  return loss
}

function percent(share) {
  return `${(100 * share).toPrecision(2)} %`
}

function print(line) {
  process.stdout.write(`${line}\n`)
}

function readMatrix(name) {
  const file = readdirSync(folder).find(entry => entry.startsWith(`${name}.`) && entry.endsWith('.npy'))
  const bytes = readFileSync(join(folder, file))
  const headerBytes = 10 + bytes.readUInt16LE(8)
  const header = bytes.toString('latin1', 10, headerBytes)
  const [, type] = /'descr': '([^']*)'/.exec(header)
  const [count, width] = /'shape': \((\d+), (\d+)/.exec(header).slice(1).map(Number)
  const body = bytes.buffer.slice(bytes.byteOffset + headerBytes, bytes.byteOffset + bytes.length)
  return { rows: floatsOf(type, body), count, dim: width }
}

function floatsOf(type, body) {
  if (type === '<f4') return new Float32Array(body)
  if (type === '|u1') return Float32Array.from(new Uint8Array(body))
  if (type !== '<f2') throw new Error(`rows of type ${type} are not read`)
  const half = Float32Array.from({ length: 65_536 }, (_, bits) => {
    const exponent = (bits >> 10) & 31
    const size = exponent === 0 ? (bits & 1023) * 2 ** -24 : (1 + (bits & 1023) / 1024) * 2 ** (exponent - 15)
    return bits >> 15 ? -size : size
  })
  return Float32Array.from(new Uint16Array(body), bits => half[bits])
}
