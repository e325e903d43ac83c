// How much faster the kernels that run here are than the TypeScript that defines them.
import { type Kernels, kernels, kernelsOf } from '@drift/native'
import { quantile } from './measure.js'

export interface KernelRatio {
  readonly kernel: string
  readonly nsPerRow: number
  readonly referenceNsPerRow: number
  readonly ratio: number
}

/** Rows of one call: about 3 MiB of float32 at 384 dimensions, so memory takes part, as it does in a search. */
const ROWS = 2_000
const PASSES = 9

export function kernelRatios(vectors: Float32Array, dim: number): KernelRatio[] {
  const count = Math.min(ROWS, vectors.length / dim)
  const rows = vectors.subarray(0, count * dim)
  const query = vectors.slice(0, dim)
  const out = new Float32Array(count)
  const codes = new Uint8Array(count * dim)
  const factors = new Float32Array(count * 2)
  const queryCodes = new Int8Array(dim)
  const queryFactors = new Float32Array(3)
  kernels.sq8Encode(rows, dim, 0, count, codes, factors)
  kernels.sq8Query(query, queryCodes, queryFactors)
  const calls: Record<string, (set: Kernels) => void> = {
    'f32 inner product': set => set.distances('ip', query, rows, dim, 0, count, out),
    'f32 squared L2': set => set.distances('l2', query, rows, dim, 0, count, out),
    'SQ8 inner product': set =>
      set.sq8Distances('ip', queryCodes, queryFactors, codes, factors, dim, 0, count, out),
    'SQ8 encode': set => set.sq8Encode(rows, dim, 0, count, codes, factors),
  }
  const reference = kernelsOf('reference')
  return Object.entries(calls).map(([kernel, call]) => {
    const times = { own: [] as number[], reference: [] as number[] }
    for (let i = 0; i < PASSES; i++) {
      times.own.push(timeNs(() => call(kernels)))
      times.reference.push(timeNs(() => call(reference)))
    }
    const nsPerRow = quantile(times.own, 0.5) / count
    const referenceNsPerRow = quantile(times.reference, 0.5) / count
    return { kernel, nsPerRow, referenceNsPerRow, ratio: referenceNsPerRow / nsPerRow }
  })
}

function timeNs(call: () => void): number {
  const start = performance.now()
  call()
  return (performance.now() - start) * 1e6
}
