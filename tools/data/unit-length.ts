// Makes rows unit length, so that the inner product of the kernels gives the order of cosine.
import { ToolError } from './tool-error.js'

/** In place. @throws ToolError DATA_VALUE for a value that is no finite number and for a row of zeros; `name` says whose. */
export function normalise(values: Float32Array, dim: number, name: string): void {
  for (let from = 0; from < values.length; from += dim) {
    let sum = 0
    for (let i = from; i < from + dim; i++) sum += values[i]! * values[i]!
    const row = from / dim
    if (!Number.isFinite(sum))
      throw new ToolError('DATA_VALUE', `${name}: row ${row} holds NaN or Infinity`, { row })
    if (sum === 0)
      throw new ToolError('DATA_VALUE', `${name}: row ${row} is all zeros, which has no direction`, { row })
    const length = Math.sqrt(sum)
    for (let i = from; i < from + dim; i++) values[i]! /= length
  }
}
