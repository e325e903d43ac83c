// Step: held-out queries, with the exact answer computed beside them, and the engines in turns in the same minute.
import type { Collection } from '@drift/server'
import { bruteForce } from '../bench/brute-force-engine.js'
import { overCollection } from '../bench/drift-engine.js'
import { buildHnswlib } from '../bench/hnswlib-engine.js'
import { type Contender, eachRow, type Measured, measure } from '../bench/measure.js'
import { loadHnswlib } from '../bench/peers.js'
import { truth } from '../data/truth.js'
import type { DemoInput } from './input.js'
import { duration, type Screen, whole } from './screen.js'

export const K = 10
const PASSES = 5

/** What the demo promises of recall: reached with some number of probes, whatever the data. */
const RECALL_FLOOR = 0.95

/** Probes shown beside the default; doubled from the last one until the floor is reached. */
const PROBES = [32, 128]
const MOST_PROBES = 1 << 20

/** hnswlib's search widths, from its low to its high recall. */
const EF = [24, 64]
const SEED = 1

export async function searchRows(screen: Screen, collection: Collection, input: DemoInput): Promise<void> {
  const { rows, queries, dim } = input
  const exact = truth(rows, queries, dim, 'ip', K)
  const hnswlib = loadHnswlib()
  const peer = hnswlib ? buildHnswlib(hnswlib, rows, dim, SEED).engine : undefined
  const drift = overCollection(collection)
  const contenders: Contender[] = [
    { engine: drift, setting: undefined },
    ...PROBES.map(setting => ({ engine: drift, setting })),
    ...(peer ? EF.map(setting => ({ engine: peer, setting })) : []),
    { engine: bruteForce(rows, dim, K), setting: undefined },
  ]
  const each = eachRow(queries, dim)
  const measured = await measure(contenders, each, exact, PASSES)
  const brute = measured.at(-1)!
  const ofDrift = measured.slice(0, 1 + PROBES.length)

  screen.line(`${each.length} queries, k = ${K}, one at a time on one thread`)
  screen.line(columns('', `recall@${K}`, 'p50', 'p99', 'queries/s', 'to brute force'))
  contenders.forEach((contender, i) => {
    screen.line(row(contender, measured[i]!, brute))
  })
  let best = Math.max(...ofDrift.map(({ recall }) => recall))
  for (let probes = PROBES.at(-1)! * 2; best < RECALL_FLOOR && probes <= MOST_PROBES; probes *= 2) {
    const more = { engine: drift, setting: probes }
    const [result] = await measure([more], each, exact, 1)
    screen.line(row(more, result!, brute))
    best = result!.recall
  }
  screen.claim(
    `recall@${K} of at least ${RECALL_FLOOR} against the exact answers is reached`,
    best >= RECALL_FLOOR,
  )
  screen.claim('brute force finds exactly the exact answers', brute.recall === 1)
}

function row({ engine, setting }: Contender, own: Measured, brute: Measured): string {
  const label = engine.knob ? `${engine.name}, ${setting ?? 'default'} ${engine.knob}` : engine.name
  return columns(
    label,
    own.recall.toFixed(3),
    duration(own.p50Us),
    duration(own.p99Us),
    whole(own.queriesPerSecond),
    `${(own.queriesPerSecond / brute.queriesPerSecond).toFixed(1)} x`,
  )
}

const WIDTHS = [24, 10, 9, 9, 11, 15]

function columns(...cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(WIDTHS[i]!) : cell.padStart(WIDTHS[i]!))).join('')
}
