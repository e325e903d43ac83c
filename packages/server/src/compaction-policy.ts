/**
 * Which segments to bring together. Rule: only neighbours, so that the order of the log stays the order of the files; and never across
 * the edge of what the index file knows, so that it goes on serving all of the result or none. Size tiers keep the files few at
 * about log4(n) writes a row, log16(n) while rows stream in; the dead share keeps the files small: at most a third more rows than count.
 */

export interface Candidate {
  readonly bytes: number
  readonly rows: number
  /** Rows that count. */
  readonly live: number
  /** The index file knows its rows. */
  readonly isKnown: boolean
}

export interface Run {
  readonly first: number
  readonly count: number
}

/** A segment with this share of dead rows is rewritten: three rows are copied to get rid of one. */
const DEAD_SHARE = 0.25
/** Segments of one tier that become one of the next. */
const FAN_IN = 4
/** The same while generations wait to be flushed: some more files for a while, and rows are copied half as often. */
const STREAM_FAN_IN = 16
const FIRST_TIER_ROWS = 1024
/** Of one compaction's input: bounds its memory, its time, and what a crash makes it do again. */
const MAX_BYTES = 512 * 1024 * 1024

/**
 * The most pressing run, or undefined when nothing is due.
 *
 * @param segments - in the order of the log.
 */
export function dueRun(segments: readonly Candidate[]): Run | undefined {
  return deadRun(segments) ?? tierRun(segments, FAN_IN)
}

/** The same while rows come faster than they go. */
export function streamRun(segments: readonly Candidate[]): Run | undefined {
  return deadRun(segments) ?? tierRun(segments, STREAM_FAN_IN)
}

/** Any run that leaves fewer files or fewer dead rows, for whoever wants all of it done now. */
export function anyRun(segments: readonly Candidate[]): Run | undefined {
  for (let first = 0; first < segments.length; first++) {
    const count = reach(segments, first, () => true)
    if (count > 1 || segments[first]!.live < segments[first]!.rows) return { first, count }
  }
  return undefined
}

function deadRun(segments: readonly Candidate[]): Run | undefined {
  const isStale = ({ rows, live }: Candidate) => rows - live >= DEAD_SHARE * rows
  const first = segments.findIndex(isStale)
  return first < 0 ? undefined : { first, count: Math.max(1, reach(segments, first, isStale)) }
}

function tierRun(segments: readonly Candidate[], fanIn: number): Run | undefined {
  const tiers = segments.map(({ live }) => tierOf(live))
  for (const tier of [...new Set(tiers)].sort((a, b) => a - b)) {
    for (let first = 0; first < segments.length; first++) {
      const count = reach(segments, first, (_, i) => tiers[i]! <= tier)
      // Smaller ones between them come along; a larger one alone is not copied for the sake of small ones.
      const alike = tiers.slice(first, first + count).filter(other => other === tier).length
      if (alike >= fanIn) return { first, count }
    }
  }
  return undefined
}

function tierOf(rows: number): number {
  return Math.max(0, Math.floor(Math.log(Math.max(1, rows) / FIRST_TIER_ROWS) / Math.log(FAN_IN)))
}

/** Segments from `first` on that may be one run. */
function reach(
  segments: readonly Candidate[],
  first: number,
  fits: (segment: Candidate, i: number) => boolean,
): number {
  let bytes = 0
  let count = 0
  for (let i = first; i < segments.length; i++) {
    const segment = segments[i]!
    bytes += segment.bytes
    if (!fits(segment, i) || segment.isKnown !== segments[first]!.isKnown) break
    if (count > 0 && bytes > MAX_BYTES) break
    count++
  }
  return count
}
