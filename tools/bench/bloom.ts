// `npm run bench -- bloom`: what the id filters of 50 segments save a compaction, which asks them where deleted ids may still be. With the
// filters only segments that say maybe have their ids read; without them all have. Both give the same answer, which is checked.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom } from '@drift/core'
import { NodeFs } from '@drift/fs'
import { type SegmentEntry, SegmentReader, writeSegment } from '@drift/storage'
import { quantile } from './measure.js'

const SEGMENTS = 50
const ROWS = 10_000
const DIM = 8
/** How many ids are looked for at once: half of them are in one of the segments, half were only ever in memory. */
const ASKED = [20, 200, 2_000]
const RATES = [0.001, 0.01, 0.05]
const FS = new NodeFs()

interface Found {
  /** (id, segment) pairs. */
  readonly pairs: number
  readonly segmentsRead: number
  readonly ms: number
}

/** @param rounds - of each way, in turns; the median is printed. */
export function bloom(rounds: number, seed: number): void {
  const random = seededRandom(seed)
  const drawIds = (of: string) =>
    Array.from({ length: ROWS }, (_, row) => Buffer.from(`${of}-${row}-${random().toString(36).slice(2)}`))
  const ids = Array.from({ length: SEGMENTS }, (_, segment) => drawIds(`${segment}`))
  const absent = drawIds('absent')
  const table: Record<string, number>[] = []
  for (const rate of RATES) {
    const folder = mkdtempSync(join(tmpdir(), 'drift-bench-'))
    try {
      const entries = ids.map((of, segment) => write(folder, `${segment}.drs`, of, rate))
      const measured = falseYes(folder, entries[0]!, absent)
      for (const asked of ASKED) {
        const half = asked / 2
        const wanted = [...ids[SEGMENTS >> 1]!.slice(0, half), ...absent.slice(0, half)]
        const found = { with: [] as Found[], without: [] as Found[] }
        for (let round = 0; round < rounds; round++) {
          found.with.push(ask(folder, entries, wanted, true))
          found.without.push(ask(folder, entries, wanted, false))
        }
        for (const { pairs } of [...found.with, ...found.without])
          if (pairs !== half) throw new Error(`${pairs} ids were found, ${half} are there`)
        const median = (of: readonly Found[]) =>
          Math.round(
            quantile(
              of.map(({ ms }) => ms),
              0.5,
            ),
          )
        table.push({
          rate,
          'false yes': measured,
          'ids asked': asked,
          'segments whose ids are read': found.with[0]!.segmentsRead,
          of: found.without[0]!.segmentsRead,
          'ms with filters': median(found.with),
          'ms without': median(found.without),
        })
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
  console.log(`${SEGMENTS} segments of ${ROWS} rows, median of ${rounds} rounds`)
  console.table(table)
}

function ask(
  folder: string,
  entries: readonly SegmentEntry[],
  wanted: readonly Uint8Array[],
  filtered: boolean,
): Found {
  const start = performance.now()
  let [pairs, segmentsRead] = [0, 0]
  for (const entry of entries) {
    const reader = SegmentReader.open(FS, folder, entry)
    const maybe = filtered ? wanted.filter(id => reader.mightContain(id)) : wanted
    if (maybe.length > 0) {
      segmentsRead++
      const held = new Set(reader.ids().map(keyOf))
      for (const id of maybe) if (held.has(keyOf(id))) pairs++
    }
    reader.close()
  }
  return { pairs, segmentsRead, ms: performance.now() - start }
}

function falseYes(folder: string, entry: SegmentEntry, absent: readonly Uint8Array[]): number {
  const reader = SegmentReader.open(FS, folder, entry)
  const share = absent.filter(id => reader.mightContain(id)).length / absent.length
  reader.close()
  return share
}

function write(folder: string, name: string, ids: readonly Uint8Array[], idFilterRate: number): SegmentEntry {
  const vectors = new Float32Array(ids.length * DIM)
  const fixed = {
    createdMs: 0,
    dim: DIM,
    metric: 'l2',
    lsnLow: 1,
    lsnHigh: 1,
    quantizer: new Uint8Array(8),
  } as const
  return writeSegment(FS, folder, name, {
    ...fixed,
    uuid: randomBytes(16).toString('hex'),
    ids,
    vectors,
    idFilterRate,
  })
}

function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1')
}
