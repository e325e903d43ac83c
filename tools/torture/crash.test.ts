// Proves: the check after a crash accepts exactly the states that a crash may leave and counts every other difference,
// and a real database passes it through kills of a real process.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom } from '@drift/core'
import { Drift, type Id, type StoredRow } from '@drift/server'
import { afterAll, describe, expect, test } from 'vitest'
import { checkCrash, emptyLanes, type LaneProgress, type Rows } from './crash-check.js'
import { crashRound } from './crash-round.js'
import { LaneModel } from './lane-model.js'
import { applyOperation, operation, type Workload } from './workload.js'
import { writeOperation } from './write.js'

const workload: Workload = { seed: 5, dim: 4, lanes: 2, batchRows: 6, laneIds: 20 }
type Row = { id: Id; vector: Float32Array; payload: Record<string, unknown> }

/** The lanes after `counts` operations each. */
function after(counts: readonly number[]): LaneProgress[] {
  return emptyLanes(workload).map((lane, i) => {
    let { state, next } = lane
    for (let done = 0; done < counts[i]!; done++, next += workload.lanes) {
      state = applyOperation(workload, state, next)
    }
    return { state, next }
  })
}

/** The rows that such lanes hold. */
function rowsOf(lanes: readonly LaneProgress[]): Row[] {
  return lanes.flatMap(({ state }) =>
    [...state].map(([id, payload]) => {
      const written = operation(workload, payload.n)
      if (written.kind !== 'upsert') throw new Error(`operation ${payload.n} writes no rows`)
      const at = written.ids.indexOf(id) * workload.dim
      return { id, vector: written.vectors.slice(at, at + workload.dim), payload: { ...payload } }
    }),
  )
}

function holding(rows: readonly Row[]): Rows & { count(): Promise<number> } {
  return {
    count: async () => rows.length,
    async *scan() {
      yield* rows
    },
  }
}

describe('the check after a crash', () => {
  const acknowledged = after([8, 9])

  test('accepts the acknowledged state, and each lane one whole operation further', async () => {
    for (const counts of [
      [8, 9],
      [9, 9],
      [8, 10],
      [9, 10],
    ]) {
      const verdict = await checkCrash(holding(rowsOf(after(counts))), workload, acknowledged)
      expect(verdict).toMatchObject({ lost: 0, strange: 0, lanes: after(counts) })
    }
  })

  test('counts operations that are missing and operations that nobody may have started', async () => {
    for (const counts of [
      [7, 9],
      [8, 7],
      [11, 9],
      [0, 0],
    ]) {
      const verdict = await checkCrash(holding(rowsOf(after(counts))), workload, acknowledged)
      expect(verdict.lost).toBeGreaterThan(0)
    }
  })

  test('counts a missing row, half an operation, a changed bit, a twin, an unknown row and a wrong count', async () => {
    const rows = rowsOf(acknowledged)
    const check = (changed: readonly Row[]) => checkCrash(holding(changed), workload, acknowledged)
    expect(await check(rows.slice(1))).toMatchObject({ lost: 1, strange: 0 })

    const more = rowsOf(after([9, 9]))
    expect(more.length).not.toBe(rows.length)
    const half = [...more.slice(0, -1).filter((_, i) => i !== 0)]
    expect((await check(half)).lost).toBeGreaterThan(0)

    const flipped = rows.map((row, i) => (i === 0 ? { ...row, vector: row.vector.map(x => -x) } : row))
    expect(await check(flipped)).toMatchObject({ lost: 1, strange: 1 })
    expect((await check([...rows, rows[0]!])).strange).toBeGreaterThan(0)
    expect((await check([...rows, { ...rows[0]!, id: 10_000 }])).strange).toBeGreaterThan(0)
    const miscounting = { ...holding(rows), count: async () => rows.length + 3 }
    expect(await checkCrash(miscounting, workload, acknowledged)).toMatchObject({ lost: 0, strange: 3 })
  })
})

describe('a lane', () => {
  test('tells an answer that its own rows do not give', async () => {
    await using db = await Drift.open(':memory:')
    const rows = await db.collection('rows', { dim: workload.dim, metric: 'l2' })
    const lane = await LaneModel.read(workload, 0, rows)
    const random = seededRandom(3)
    for (let n = 0; n < 40; n += workload.lanes) {
      await writeOperation(rows, workload, n)
      lane.apply(n)
      await lane.ask(rows, random)
    }
    await lane.compare(rows)

    const own: StoredRow[] = []
    for await (const row of rows.scan({ filter: { lane: 0 } })) own.push(row)
    const row = own[0]!
    const askOften = async () => {
      for (let i = 0; i < 100; i++) await lane.ask(rows, random)
    }
    const restore = () => rows.upsert([row])
    for (const tamper of [
      () => rows.delete([row.id]),
      () => rows.updatePayload([row.id], { patched: 99 }),
      () => rows.upsert([{ ...row, vector: row.vector.map(x => x + 1) }]),
      () => rows.upsert([{ ...row, id: 1_000_000 }]),
    ]) {
      await askOften()
      await tamper()
      await expect(askOften()).rejects.toMatchObject({ code: 'LANE' })
      await expect(lane.compare(rows)).rejects.toMatchObject({ code: 'LANE' })
      await rows.delete([1_000_000])
      await restore()
    }
  })
})

describe('a killed process', () => {
  const folder = mkdtempSync(join(tmpdir(), 'drift-crash-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  test('loses no acknowledged row over several kills of one database', async () => {
    const options = {
      folder: join(folder, 'db'),
      collection: 'rows',
      workload: { seed: 11, dim: 16, lanes: 3, batchRows: 40, laneIds: 1_500 },
      memtableRows: 1_024,
      walFileBytes: 1 << 20,
      searchers: 1,
      backupFolder: join(folder, 'backup'),
    }
    let lanes: readonly LaneProgress[] = emptyLanes(options.workload)
    for (const acknowledgements of [30, 90, 1, 40]) {
      const isGentle = acknowledgements === 40
      const round = await crashRound(options, lanes, {
        acknowledgements,
        delayMs: acknowledgements % 7,
        isGentle,
      })
      expect(round).toMatchObject({ lost: 0, strange: 0, unfound: 0, findings: [] })
      expect(round.acknowledged).toBeGreaterThanOrEqual(acknowledgements)
      lanes = round.lanes
    }
  })
})
