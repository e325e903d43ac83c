// Nanoseconds per row and GB/s of every kernel and variant: node bench/kernels.mjs [seconds per case, default 0.1].
// Rows are in the cache of the CPU's second and third level, as the buckets of a busy index are.
import { kernelsOf, supportedVariants } from '../dist/index.js'

const SECONDS = Number(process.argv[2] ?? 0.1)
const ROWS = 4096
const position256 = new Uint32Array(256)

print('variant    kernel                  dim     ns/row      GB/s')
for (const dim of [128, 384, 768]) {
  for (const variant of supportedVariants()) {
    for (const { name, rows, bytesPerRow, run } of casesOf(kernelsOf(variant), dim)) {
      const nsPerRow = (secondsPerCall(run) * 1e9) / rows
      const columns = [
        variant.padEnd(10),
        name.padEnd(20),
        String(dim).padStart(6),
        nsPerRow.toFixed(1).padStart(10),
        (bytesPerRow / nsPerRow).toFixed(2).padStart(9),
      ]
      print(columns.join(' '))
    }
  }
}

function print(line) {
  process.stdout.write(`${line}\n`)
}

function casesOf(kernels, dim) {
  const rows = Float32Array.from({ length: ROWS * dim }, (_, i) => Math.sin(i * 0.7))
  const query = rows.slice(0, dim)
  const index = Uint32Array.from({ length: ROWS }, (_, i) => (i * 2_654_435_761) % ROWS)
  const out = new Float32Array(ROWS)
  const codes = new Uint8Array(ROWS * dim)
  const factors = new Float32Array(2 * ROWS)
  const queryCodes = new Int8Array(dim)
  const queryFactors = new Float32Array(3)
  kernels.sq8Encode(rows, dim, 0, ROWS, codes, factors)
  kernels.sq8Query(query, queryCodes, queryFactors)
  const centroids = rows.slice(0, 64 * dim)
  const lut = rows.subarray(0, 64 * dim) // 256 entries for each of the dim / 4 codes of a row
  const sums = new Uint16Array(ROWS)
  const position = new Uint32Array(10)
  const nearest = new Float32Array(10)
  const f32 = 4 * dim
  const bytes = new Uint8Array(rows.buffer)
  return [
    ['distances l2', f32, () => kernels.distances('l2', query, rows, dim, 0, ROWS, out)],
    ['distances ip', f32, () => kernels.distances('ip', query, rows, dim, 0, ROWS, out)],
    ['distancesGather l2', f32, () => kernels.distancesGather('l2', query, rows, dim, index, ROWS, out)],
    [
      'nearest of 64',
      f32,
      () => kernels.nearest(rows, dim, index, 256, centroids, 64, position256, out),
      256,
    ],
    ['sq8Encode', f32, () => kernels.sq8Encode(rows, dim, 0, ROWS, codes, factors)],
    [
      'sq8Distances',
      dim,
      () => kernels.sq8Distances('l2', queryCodes, queryFactors, codes, factors, dim, 0, ROWS, out),
    ],
    [
      'sq8DistancesGather',
      dim,
      () => kernels.sq8DistancesGather('l2', queryCodes, queryFactors, codes, factors, dim, index, ROWS, out),
    ],
    ['lutDistances', dim / 4, () => kernels.lutDistances(lut, dim / 4, codes, 0, ROWS, out)],
    ['fastScan', dim / 4, () => kernels.fastScan(codes, dim / 2, codes, 8 * dim, ROWS / 32, sums)],
    ['affineDistances', dim, () => kernels.affineDistances('l2', query, query, codes, dim, 0, ROWS, out)],
    ['topK of 10', 4, () => kernels.topK(rows, ROWS, 10, position, nearest)],
    ['crc32c', f32, () => kernels.crc32c(bytes)],
    ['hash64', f32, () => kernels.hash64(bytes.subarray(0, 256 * f32)), 256],
  ].map(([name, bytesPerRow, run, count = ROWS]) => ({ name, bytesPerRow, run, rows: count }))
}

/** The best of five spells: what the machine does when nothing else runs on it. */
function secondsPerCall(run) {
  run()
  let best = Number.POSITIVE_INFINITY
  for (let spell = 0; spell < 5; spell++) {
    const start = performance.now()
    let calls = 0
    let seconds = 0
    do {
      run()
      calls++
      seconds = (performance.now() - start) / 1000
    } while (seconds < SECONDS / 5)
    best = Math.min(best, seconds / calls)
  }
  return best
}
