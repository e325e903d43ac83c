/** Long work beside a live event loop: a generator is run in slices, with turns of the loop between them, progress and abort. */
import { ownTurn } from '@drift/core'
import type { Progress } from './options.js'

export interface SliceOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
}

/** Short enough that a search behind it does not notice. */
const SLICE_MS = 1
const REPORT_MS = 50

/**
 * @param steps - yields units as they are done. It is ended, with its `finally` blocks, when aborted or when `alive` throws.
 * @returns what the generator returns.
 */
export async function runSliced<T>(
  steps: Generator<number, T>,
  stage: string,
  total: number,
  { signal, onProgress }: SliceOptions,
  alive: () => void = () => {},
): Promise<T> {
  let done = 0
  let reported = 0
  let end = performance.now() + SLICE_MS
  try {
    signal?.throwIfAborted()
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done) {
        onProgress?.({ stage, done: Math.max(total, done), total: Math.max(total, done) })
        return step.value
      }
      done += step.value
      const now = performance.now()
      if (now < end) continue
      if (now - reported >= REPORT_MS) {
        onProgress?.({ stage, done, total: Math.max(total, done) })
        reported = now
      }
      await ownTurn()
      signal?.throwIfAborted()
      alive()
      end = performance.now() + SLICE_MS
    }
  } finally {
    steps.return(undefined as T)
  }
}
