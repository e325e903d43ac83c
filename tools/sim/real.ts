// Runbooks over real vectors in their own order: a sliding window, rows of three lives, the death of topics that the data names
// (base.tsv, column repository), and a window of pictures (image.i32.npy).
// Rule: queries are rows that are never inserted, or not yet: the next ones of the stream.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '@drift/core'
import type { KernelMetric } from '@drift/native'
import { type Source, sourcesOf } from '../bench/vectors.js'
import { readMatrix } from '../data/npy.js'
import { ToolError } from '../data/tool-error.js'
import { normalise } from '../data/unit-length.js'
import type { RowSource } from './big-ann.js'
import type { Runbook, Size, Step } from './runbook.js'

/** A data set as a stream. */
export interface RealStream extends RowSource {
  readonly name: string
  readonly values: Float32Array
  /** The topic that the data names for each row. */
  readonly topics: readonly string[] | undefined
  /** The picture of each row. */
  readonly images: Int32Array | undefined
}

const KINDS = ['window', 'expiry', 'topics', 'images'] as const
type Kind = (typeof KINDS)[number]

/** Rows of the window, rows of a tick, queries of a search, searches. The `100k` form is that of the figures in docs/bench/drift.md. */
const SHAPES: Readonly<Record<Size, { window: number; tick: number; queries: number; steps: number }>> = {
  small: { window: 4_000, tick: 500, queries: 150, steps: 4 },
  '100k': { window: 40_000, tick: 2_000, queries: 400, steps: 5 },
  '1m': { window: 400_000, tick: 20_000, queries: 400, steps: 5 },
}

/** Of the expiry runbook: ticks that a row lives, by 19ths. */
const LIVES = [
  { below: 15, ticks: 4 },
  { below: 18, ticks: 10 },
  { below: 19, ticks: Number.POSITIVE_INFINITY },
]

/** Every so many rows is held out as a query where the next rows of the stream would not do. */
const HELD_OUT = 50

/** Share of a dying topic's rows that go, and of the queries that still ask for it. */
const DEATH = 0.97
const LOST_QUERIES = 0.1

/** @param folder - of data sets, or one. @throws ToolError DATA_FOLDER. */
export function realStreams(folder: string): RealStream[] {
  return sourcesOf(undefined, folder).flatMap(source => ('base' in source.from ? [streamOf(source)] : []))
}

/** The runbooks that the stream has the facts for. */
export function realKinds({ topics, images }: RealStream): Kind[] {
  return KINDS.filter(kind => !(kind === 'topics' && !topics) && !(kind === 'images' && !images))
}

/** @throws ToolError DATA_SET when the stream has too few rows for the size. */
export function realRunbook(stream: RealStream, kind: Kind, size: Size, seed: number): Runbook {
  const shape = SHAPES[size]
  const { window, tick, steps } = shape
  const needed = kind === 'topics' ? 2 * window : window + steps * 5 * tick
  if (stream.rows < needed) {
    throw new ToolError(
      'DATA_SET',
      `${stream.name} has ${stream.rows} rows, ${kind} at size ${size} takes ${needed}`,
    )
  }
  const plays = { window: slide, expiry: expire, topics: dieByTopic, images: byImage }
  return {
    name: `${stream.name}-${kind}`,
    about: ABOUT[kind],
    dim: stream.dim,
    metric: stream.metric,
    searches: steps + 1,
    liveRows: kind === 'topics' ? 2 * window : window,
    insertedRows: kind === 'images' ? stream.rows : needed,
    steps: () => plays[kind](stream, shape, seed),
  }
}

const ABOUT = {
  window: 'a window slides over the stream; queries are the rows that come next',
  expiry:
    'the stream, each row of one of three lives (15 short, 3 longer, 1 for good); queries are the rows that come next',
  topics:
    'two of the three topics lose 97 % of their rows, one after the other; a tenth of the queries still ask for them',
  images:
    'a window of pictures slides over the stream; queries are rows of the pictures in it and of the next',
}

type Shape = (typeof SHAPES)[Size]

function* slide(stream: RealStream, { window, tick, queries, steps }: Shape): Generator<Step> {
  for (let row = 0; row < window; row += tick) yield insert(stream, range(row, row + tick))
  yield next(stream, window, 5 * tick, queries, 'first window')
  for (let step = 1; step <= steps; step++) {
    for (let i = 0; i < 5; i++) {
      const moved = ((step - 1) * 5 + i) * tick
      yield insert(stream, range(window + moved, window + moved + tick))
      yield { do: 'delete', ids: range(moved, moved + tick) }
    }
    const end = window + step * 5 * tick
    yield next(stream, end, tick, queries, `window ${step}`)
  }
}

function* expire(stream: RealStream, { window, tick, queries, steps }: Shape, seed: number): Generator<Step> {
  const random = seededRandom(seed)
  const ends = new Map<number, number[]>()
  const ticks = Math.floor((window + steps * 5 * tick) / tick) - 1
  for (let at = 0; at < ticks; at++) {
    const rows = range(at * tick, (at + 1) * tick)
    yield insert(stream, rows)
    for (const row of rows) {
      const draw = 19 * random()
      const end = at + LIVES.find(life => draw < life.below)!.ticks
      ends.set(end, [...(ends.get(end) ?? []), row])
    }
    const ended = ends.get(at)
    if (ended) yield { do: 'delete', ids: Uint32Array.from(ended) }
    const every = Math.floor(ticks / (steps + 1))
    if ((at + 1) % every === 0) yield next(stream, (at + 1) * tick, tick, queries, `tick ${at + 1}`)
  }
}

function* dieByTopic(
  stream: RealStream,
  { window, tick, queries, steps }: Shape,
  seed: number,
): Generator<Step> {
  const random = seededRandom(seed)
  const topicOf = (row: number) => stream.topics![row]!
  const names = [...new Set(stream.topics!)]
  // An even part of the stream, so that every size has all topics.
  const stride = Math.max(1, Math.floor(stream.rows / (2 * window)))
  const chosen = range(0, Math.floor(stream.rows / stride)).map(i => i * stride)
  const kept = chosen.filter((_, i) => i % HELD_OUT > 0)
  const held = chosen.filter((_, i) => i % HELD_OUT === 0)
  for (let i = 0; i < kept.length; i += tick) yield insert(stream, kept.slice(i, i + tick))
  const dead = new Set<string>()
  const search = (phase: string): Step => {
    const alive = held.filter(row => !dead.has(topicOf(row)))
    const lost = held.filter(row => dead.has(topicOf(row)))
    const rows = Uint32Array.from({ length: queries }, () => {
      const from = lost.length > 0 && random() < LOST_QUERIES ? lost : alive
      return from[Math.floor(random() * from.length)]!
    })
    return { do: 'search', queries: pick(stream, rows), phase }
  }
  yield search('before')
  for (const name of names.slice(0, -1)) {
    const mine = kept.filter(row => topicOf(row) === name && random() < DEATH)
    dead.add(name)
    const part = Math.ceil(mine.length / steps)
    for (let step = 0; step < steps; step++) {
      yield { do: 'delete', ids: mine.slice(step * part, (step + 1) * part) }
      if (step % 2 === 0) yield search(`${name} -${Math.round((100 * DEATH * (step + 1)) / steps)} %`)
    }
  }
}

function* byImage(
  stream: RealStream,
  { window, tick, queries, steps }: Shape,
  seed: number,
): Generator<Step> {
  const random = seededRandom(seed)
  const images = stream.images!
  const held = (row: number) => row % HELD_OUT === 0
  const inserted: number[] = []
  const since = { rows: 0 }
  const every = Math.max(tick, Math.floor((stream.rows - window) / steps))
  for (let first = 0; first < stream.rows; ) {
    let end = first + 1
    while (end < stream.rows && images[end] === images[first]) end++
    const rows = range(first, end).filter(row => !held(row))
    for (let i = 0; i < rows.length; i += tick) yield insert(stream, rows.slice(i, i + tick))
    for (const row of rows) inserted.push(row)
    since.rows += rows.length
    const over = inserted.length - window
    if (over > 0) yield { do: 'delete', ids: Uint32Array.from(inserted.splice(0, over)) }
    if (inserted.length >= window && since.rows >= every) {
      since.rows = 0
      const oldest = inserted[0]!
      const near = range(oldest, Math.min(stream.rows, end + tick)).filter(held)
      const chosen = Uint32Array.from({ length: queries }, () => near[Math.floor(random() * near.length)]!)
      yield { do: 'search', queries: pick(stream, chosen), phase: `picture ${images[first]}` }
    }
    first = end
  }
}

function insert(stream: RealStream, rows: Uint32Array): Step {
  return { do: 'insert', ids: rows, vectors: pick(stream, rows) }
}

/** An even part of the rows that follow. */
function next(stream: RealStream, first: number, among: number, count: number, phase: string): Step {
  const stride = Math.max(1, Math.min(among, stream.rows - first) / count)
  const rows = Uint32Array.from({ length: count }, (_, i) =>
    Math.min(stream.rows - 1, first + Math.floor(i * stride)),
  )
  return { do: 'search', queries: pick(stream, rows), phase }
}

function pick({ values, dim }: RealStream, rows: Uint32Array): Float32Array {
  const out = new Float32Array(rows.length * dim)
  for (let i = 0; i < rows.length; i++)
    out.set(values.subarray(rows[i]! * dim, (rows[i]! + 1) * dim), i * dim)
  return out
}

function range(first: number, end: number): Uint32Array {
  return Uint32Array.from({ length: end - first }, (_, i) => first + i)
}

function streamOf({ name, from }: Source): RealStream {
  const { base, query } = from as { base: string; query: string }
  const { values, rows, columns: dim } = readMatrix(base)
  const queries = readMatrix(query).values
  // As in the bench: bytes are image descriptors, compared by l2; everything else is compared by cosine.
  const metric: KernelMetric = base.endsWith('.u8.npy') ? 'l2' : 'ip'
  if (metric === 'ip') for (const part of [values, queries]) normalise(part, dim, name)
  const folder = join(base, '..')
  return {
    name,
    rows,
    dim,
    metric,
    values,
    queries,
    topics: topicsIn(join(folder, 'base.tsv'), rows),
    images: imagesIn(join(folder, 'image.i32.npy')),
    read: (first, count) => values.slice(first * dim, (first + count) * dim),
  }
}

function topicsIn(path: string, rows: number): string[] | undefined {
  if (!existsSync(path)) return undefined
  const [head, ...lines] = readFileSync(path, 'utf8').trimEnd().split('\n')
  const column = head!.split('\t').indexOf('repository')
  return column < 0 || lines.length !== rows ? undefined : lines.map(line => line.split('\t')[column]!)
}

function imagesIn(path: string): Int32Array | undefined {
  return existsSync(path) ? Int32Array.from(readMatrix(path).values) : undefined
}
