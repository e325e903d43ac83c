/** Which buckets the queries of this thread scan: of one search in some, the buckets are noted for their temperature. */
import { PROBE_WORDS } from '@drift/native'
import type { IndexState } from '../index-state.js'
import type { Scratch } from './scratch.js'

/** One search in so many is noted: the trace costs it a microsecond. */
const SAMPLED = 32
/** Buckets of a search that are noted, nearest first. */
const TRACED_BUCKETS = 1024

export class Warmth {
  readonly #trace = new Uint32Array(TRACED_BUCKETS * PROBE_WORDS)
  #searches = 0

  /** A search is about to begin. @returns what notes its buckets once it has ended, if they are to be. */
  sample(state: IndexState, scratch: Scratch): (() => void) | undefined {
    if (++this.#searches % SAMPLED !== 0) return undefined
    const trace = this.#trace
    scratch.effort[0] = 0
    scratch.ask.trace = trace
    return () => {
      scratch.ask.trace = undefined
      const count = Math.min(scratch.effort[0]!, trace.length / PROBE_WORDS)
      // In place: the bucket of probe i is word PROBE_WORDS * i, which is not before i.
      for (let i = 0; i < count; i++) trace[i] = trace[PROBE_WORDS * i]!
      if (!scratch.scannedAll && count > 0) state.temperature.touch(trace, count)
    }
  }

  get bytes(): number {
    return this.#trace.byteLength
  }
}
