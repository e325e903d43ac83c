// Proves that a runbook is the same every time, that it never deletes what is not there, that exact answers are exact and read
// again from disk, and that runbook files mean what big-ann-benchmarks and we say.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeNpy } from '../data/npy-write.js'
import { type RowSource, readRunbook } from './big-ann.js'
import { booksOf } from './books.js'
import { GroundTruth } from './ground-truth.js'
import { LiveSet } from './live-set.js'
import type { Runbook, Size, Step } from './runbook.js'
import { runbook, runbookNames } from './runbooks.js'
import { makeWorld, WORLD_DIM } from './world.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'drift-sim-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

describe.each(runbookNames)('%s', name => {
  const book = runbook(name, 'small', 'mix', 3)

  test('is the same every time, deletes only what lives, and is searched as often as it says', () => {
    const live = new Set<number>()
    const again = book.steps()[Symbol.iterator]()
    let searches = 0
    let inserted = 0
    let most = 0
    for (const step of book.steps()) {
      expect(equal(step, again.next().value)).toBe(true)
      if (step.do === 'search') {
        searches++
        expect(step.queries.length).toBeGreaterThan(0)
        continue
      }
      if (step.do === 'insert') inserted += step.ids.length
      let wrong = 0
      for (const id of step.ids) {
        if (live.has(id) === (step.do === 'insert')) wrong++
        if (step.do === 'insert') live.add(id)
        if (step.do === 'delete') live.delete(id)
      }
      expect(wrong).toBe(0)
      most = Math.max(most, live.size)
    }
    expect(searches).toBeGreaterThanOrEqual(4)
    expect(searches).toBeLessThanOrEqual(12)
    expect(inserted).toBeLessThanOrEqual(1.05 * book.insertedRows)
    expect(most).toBeLessThanOrEqual(1.5 * book.liveRows)
  })

  test('is another one with another seed', () => {
    const [step] = book.steps()
    const [other] = runbook(name, 'small', 'mix', 4).steps()
    expect(equal(step!, other!)).toBe(false)
  })
})

test('R6 leaves 3 % of the dying half and the other half as it was', () => {
  const { topics, count } = afterAllSteps(runbook('R6', 'small', 'mix', 1))
  expect(count).toBeGreaterThan(2500)
  expect(topics.dying / topics.all).toBeLessThan(0.05)
  expect(topics.dying).toBeGreaterThan(0)
})

/** Rows that are nearest to a centre of odd number, which are the ones that die. */
function afterAllSteps(book: Runbook) {
  const live = new LiveSet(book.dim)
  for (const step of book.steps()) live.apply(step)
  const world = makeWorld('mix', 60, 1)
  const centres = new LiveSet(WORLD_DIM)
  const ids = Uint32Array.from({ length: world.count }, (_, i) => i)
  centres.apply({ do: 'insert', ids, vectors: world.centres })
  const { rows } = centres.exact(live.vectors, 'l2', 1)
  return {
    count: live.count,
    topics: { all: rows.length, dying: rows.filter(topic => topic % 2 === 1).length },
  }
}

describe('exact answers', () => {
  test('are those of the rows alive, and come from the disk the second time', () => {
    const cache = join(folder, 'truth')
    const answers = (expected: number) => {
      const live = new LiveSet(2)
      const truth = new GroundTruth(live, 'l2', 2, cache)
      const steps: Step[] = [
        { do: 'insert', ids: Uint32Array.of(7, 8, 9), vectors: Float32Array.of(0, 0, 1, 0, 5, 5) },
        { do: 'delete', ids: Uint32Array.of(7) },
        { do: 'replace', ids: Uint32Array.of(8), vectors: Float32Array.of(4, 4) },
        { do: 'search', queries: Float32Array.of(0, 0, 6, 6), phase: 'all' },
      ]
      const last = steps.map(step => {
        live.apply(step)
        return truth.step(step)
      })
      expect(truth.computed).toBe(expected)
      return last.at(-1)!
    }
    const first = answers(1)
    expect([...first.rows]).toEqual([8, 9, 9, 8])
    expect([...first.distances]).toEqual([32, 50, 2, 8])
    expect(readdirSync(cache)).toHaveLength(1)
    expect(answers(0)).toEqual(first)
  })

  test('are there when nothing is alive', () => {
    const truth = new GroundTruth(new LiveSet(2), 'l2', 2, undefined)
    const exact = truth.step({ do: 'search', queries: Float32Array.of(0, 0), phase: 'empty' })
    expect(exact).toEqual({ rows: new Uint32Array(0), distances: new Float32Array(0), k: 0 })
  })
})

describe('runbook files', () => {
  const source: RowSource = {
    rows: 10,
    dim: 1,
    metric: 'l2',
    queries: Float32Array.of(0.5),
    read: (first, count) => Float32Array.from({ length: count }, (_, i) => first + i),
  }
  const file = (name: string, text: string) => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }
  const BIG_ANN = `sift-small:
  max_pts: 6
  1:
    operation: "insert"
    start: 0
    end: 6
  2:
    operation: "search"
  10:
    operation: "search"
  9:
    operation: "replace"
    tags_start: 4
    tags_end: 6
    ids_start: 8
    ids_end: 10
  3:
    operation: "delete"
    start: 1
    end: 3
  gt_url: "none"
`

  test('of big-ann-benchmarks are read as they are, in the order of their numbers', () => {
    const book = readRunbook(file('book.yaml', BIG_ANN), source)
    expect([book.name, book.searches, book.insertedRows]).toEqual(['sift-small', 2, 6])
    const [insert, search, remove, replace, last] = book.steps()
    expect(insert).toEqual({
      do: 'insert',
      ids: Uint32Array.of(0, 1, 2, 3, 4, 5),
      vectors: Float32Array.of(0, 1, 2, 3, 4, 5),
    })
    expect(search).toEqual({ do: 'search', queries: source.queries, phase: 'step 2' })
    expect(remove).toEqual({ do: 'delete', ids: Uint32Array.of(1, 2) })
    expect(replace).toEqual({ do: 'replace', ids: Uint32Array.of(4, 5), vectors: Float32Array.of(8, 9) })
    expect(last).toMatchObject({ do: 'search' })
  })

  test('of our own name ranges or rows', () => {
    const steps = [
      { insert: [0, 2] },
      { insert: { ids: [40, 41], rows: [9, 3] } },
      { replace: { ids: [40], rows: [4] } },
      { delete: { ids: [41] } },
      'search',
    ]
    const book = readRunbook(file('book.json', JSON.stringify({ name: 'ours', steps })), source)
    expect([...book.steps()].slice(1, 4)).toEqual([
      { do: 'insert', ids: Uint32Array.of(40, 41), vectors: Float32Array.of(9, 3) },
      { do: 'replace', ids: Uint32Array.of(40), vectors: Float32Array.of(4) },
      { do: 'delete', ids: Uint32Array.of(41) },
    ])
  })

  test.each([
    ['no.yaml', 'a: [', /no\.yaml/],
    ['empty.yaml', '', /has no data set/],
    ['word.yaml', 'set:\n  1:\n    operation: "merge"\n', /step 1: the operation is merge/],
    ['range.yaml', 'set:\n  1:\n    operation: "insert"\n    start: 5\n    end: 3\n', /5\.\.3 is no range/],
    ['far.yaml', 'set:\n  1:\n    operation: "insert"\n    start: 5\n    end: 12\n', /row 10 of 10/],
    ['list.json', '{"name":"x","steps":[{"insert":{"ids":["a"]}}]}', /ids is no range/],
    ['step.json', '{"name":"x","steps":[{"merge":[0,1]}]}', /merge is no step/],
    ['pair.json', '{"name":"x","steps":[{"insert":{"ids":[1,2],"rows":[1]}}]}', /2 ids for 1 rows/],
  ])('%s is refused', (name, text, message) => {
    expect(() => readRunbook(file(name, text), source)).toThrow(
      expect.objectContaining({ code: 'RUNBOOK_FILE', message: expect.stringMatching(message) }),
    )
  })
})

describe('over real rows', () => {
  const rows = 14_500
  const dim = 2
  const names = ['git', 'curl', 'ansible']
  let data: string
  beforeAll(() => {
    data = join(folder, 'set')
    mkdirSync(data)
    const values = Float32Array.from({ length: rows * dim }, (_, i) => (i % dim === 0 ? 1 : 1 + i / dim))
    writeNpy(join(data, 'base.f32.npy'), values, dim)
    writeNpy(join(data, 'query.f32.npy'), values.slice(0, 2), dim)
    const lines = Array.from({ length: rows }, (_, i) => `${i}\t${names[Math.floor((3 * i) / rows)]}`)
    writeFileSync(join(data, 'base.tsv'), ['time\trepository', ...lines, ''].join('\n'))
    const images = Int32Array.from({ length: rows }, (_, i) => Math.floor(i / 700))
    writeNpy(join(data, 'image.i32.npy'), images, 1)
  })
  const booksAt = (size: Size, ...asked: string[]) => {
    const skipped: string[] = []
    const books = booksOf(asked, size, 1, data, (name, why) => skipped.push(`${name}: ${why}`))
    return { books, names: books.map(book => book.name), skipped }
  }

  test('streams insert in order, hold queries out, and let topics die', () => {
    const kinds = ['set-window', 'set-expiry', 'set-topics', 'set-images']
    const all = booksAt('small', 'all')
    expect(all.names).toEqual([...runbookNames, ...kinds])
    expect(all.skipped).toEqual([])
    const [window, topics, images] = booksAt('small', 'set-window', 'set-topics', 'set-images').books
    expect(afterwards(window!)).toEqual(Array.from({ length: 4000 }, (_, i) => 10_000 + i))
    const topicOf = (row: number) => names[Math.floor((3 * row) / rows)]
    const ofTopic = afterwards(topics!)
    const left = names.map(name => ofTopic.filter(row => topicOf(row) === name).length)
    expect(left[0]! + left[1]!).toBeLessThan(0.1 * left[2]!)
    expect(left[0]).toBeGreaterThan(0)
    expect(afterwards(images!).filter(row => row % 50 === 0)).toEqual([])
  })

  test('a set with too few rows for a size is in the way of its own runbooks only', () => {
    expect(booksAt('1m', 'R2', 'R6-hard')).toMatchObject({ names: ['R2', 'R6-hard'], skipped: [] })
    const all = booksAt('1m', 'all')
    expect(all.names).toEqual(runbookNames)
    expect(all.skipped).toEqual([
      'set-window: set has 14500 rows, window at size 1m takes 900000',
      'set-expiry: set has 14500 rows, expiry at size 1m takes 900000',
      'set-topics: set has 14500 rows, topics at size 1m takes 800000',
      'set-images: set has 14500 rows, images at size 1m takes 900000',
    ])
    expect(() => booksAt('1m', 'set-window')).toThrow(expect.objectContaining({ code: 'DATA_SET' }))
  })

  test('rows are read only for a runbook over them, and what is no runbook is refused', () => {
    const none = join(folder, 'none')
    const named = (name: string) => booksOf([name], 'small', 1, none, () => {}).map(book => book.name)
    expect(named('R2')).toEqual(['R2'])
    expect(() => named('all')).toThrow(expect.objectContaining({ code: 'DATA_FOLDER' }))
    for (const name of ['R11', 'R2-easy', 'R2-hard-set', 'set-years'])
      expect(() => booksAt('small', name)).toThrow(expect.objectContaining({ code: 'RUNBOOK' }))
  })
})

/** The ids that are left at the end, in the order of their inserts. */
function afterwards(book: Runbook): number[] {
  const live = new Set<number>()
  for (const step of book.steps()) {
    if (step.do === 'insert') for (const id of step.ids) live.add(id)
    if (step.do === 'delete')
      for (const id of step.ids) if (!live.delete(id)) throw new Error(`${id} is dead`)
  }
  return [...live]
}

function equal(a: Step, b: Step): boolean {
  const parts = (step: Step) =>
    step.do === 'search' ? [step.queries] : step.do === 'delete' ? [step.ids] : [step.ids, step.vectors]
  const [mine, other] = [parts(a), parts(b)]
  return (
    a.do === b.do &&
    mine.every((part, i) => {
      const against = other[i]!
      return Buffer.compare(Buffer.from(part.buffer), Buffer.from(against.buffer)) === 0
    })
  )
}
