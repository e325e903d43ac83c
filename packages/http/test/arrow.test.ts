// Proves: rows go to and from a server as Arrow IPC bytes, whoever makes and reads them; bytes that are no Arrow, options that a scan as
// Arrow does not have, and a stream that is cut are told of; a repeated upsert is applied once.
import { connect, type RemoteCollection } from '@drift/client'
import { ARROW_TYPE } from '@drift/client/wire'
import { Drift } from '@drift/server'
import { tableFromIPC } from 'apache-arrow'
import { describe, expect, it } from 'vitest'
import { randomVectors, started } from './fixture.js'

const DIM = 16
const ROWS = 1_200

async function filled(): Promise<{ url: string; docs: RemoteCollection; vectors: Float32Array }> {
  const { url } = await started()
  const db = await connect(url)
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
  const vectors = randomVectors(ROWS, DIM, 1)
  const ids = Array.from({ length: ROWS }, (_, i) => `row ${i}`)
  await docs.upsert({ ids, vectors, payloads: ids.map((_, i) => ({ n: i, even: i % 2 === 0 })) })
  return { url, docs, vectors }
}

async function bytesOf(
  docs: RemoteCollection,
  options?: Parameters<RemoteCollection['toArrow']>[0],
): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const part of docs.toArrow(options)) all.push(part)
  return Buffer.concat(all)
}

describe('Arrow over the network', () => {
  it('is read by Arrow itself, and comes back into another collection as it was', async () => {
    const { url, docs, vectors } = await filled()
    const bytes = await bytesOf(docs)
    const table = tableFromIPC(bytes)
    expect(table.numRows).toBe(ROWS)
    expect(table.schema.fields.map(({ name }) => name)).toEqual(['id', 'vector', 'n', 'even'])
    const copy = await (await connect(url)).collection('copy', { dim: DIM, metric: 'l2' })
    const { rows, lsn } = await copy.fromArrow(bytes)
    expect([rows, await copy.count()]).toEqual([ROWS, ROWS])
    expect(lsn).toBeGreaterThan(0)
    for (const row of [0, 499, 500, ROWS - 1]) {
      expect(await copy.get(`row ${row}`)).toEqual({
        id: `row ${row}`,
        vector: vectors.slice(row * DIM, (row + 1) * DIM),
        payload: { n: row, even: row % 2 === 0 },
      })
    }
  })

  it('is of the rows that match, when a filter is given, and has their columns only', async () => {
    const { docs, url } = await filled()
    await docs.upsert([{ id: 'other', vector: new Float32Array(DIM), payload: { lang: 'en' } }])
    const table = tableFromIPC(await bytesOf(docs, { filter: { n: { $lt: 3 } } }))
    expect(table.toArray().map(row => row.id)).toEqual(['row 0', 'row 1', 'row 2'])
    expect(table.schema.fields.map(({ name }) => name)).toEqual(['id', 'vector', 'n', 'even'])
    const none = tableFromIPC(await bytesOf(docs, { filter: { n: -1 } }))
    expect([none.numRows, none.schema.fields.map(({ name }) => name)]).toEqual([0, ['id', 'vector']])
    const refused = await fetch(`${url}/v1/collections/docs/scan`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: ARROW_TYPE },
      body: JSON.stringify({ filter: { $nope: 1 } }),
    })
    expect([refused.status, await refused.json()]).toMatchObject([400, { error: { code: 'DRIFT_FILTER' } }])
  })

  it('is what the embedded collection takes and gives', async () => {
    const { docs } = await filled()
    await using db = await Drift.open(':memory:')
    const embedded = await db.collection('docs', { dim: DIM, metric: 'l2' })
    expect(await embedded.fromArrow(docs.toArrow())).toMatchObject({ rows: ROWS })
    expect((await embedded.get('row 7'))?.payload).toEqual({ n: 7, even: false })
  })

  it('is in order when asked, and goes on behind a batch under the same schema', async () => {
    const { docs, url } = await filled()
    const whole = tableFromIPC(await bytesOf(docs, { ordered: true }))
    const idsOf = (table: { getChild(name: string): Iterable<unknown> | null }): unknown[] => [
      ...table.getChild('id')!,
    ]
    const page = docs.scan({ limit: 700, vectors: false, payload: false })
    const first: unknown[] = []
    for await (const { id } of page) first.push(id)
    const rest = tableFromIPC(await bytesOf(docs, { cursor: page.cursor! }))
    expect([...first, ...idsOf(rest)]).toEqual(idsOf(whole))
    expect(rest.schema.toString()).toBe(whole.schema.toString())
    for (const [accept, code] of [
      [ARROW_TYPE, 'DRIFT_CURSOR'],
      ['application/x-ndjson', 'DRIFT_OPTION'],
    ]) {
      const refused = await fetch(`${url}/v1/collections/docs/scan`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: accept! },
        body: JSON.stringify(accept === ARROW_TYPE ? { cursor: 'none' } : { ordered: true }),
      })
      expect([refused.status, await refused.json()]).toMatchObject([400, { error: { code } }])
    }
  })

  it('of an empty collection has a schema and no rows', async () => {
    const { url } = await started()
    const docs = await (await connect(url)).collection('docs', { dim: DIM, metric: 'l2' })
    const bytes = await bytesOf(docs)
    expect(tableFromIPC(bytes).numRows).toBe(0)
    expect(await docs.fromArrow(bytes)).toMatchObject({ rows: 0 })
  })

  it('is applied once when the answer is lost and the client sends it again', async () => {
    const { url, docs } = await filled()
    const bytes = await bytesOf(docs)
    let calls = 0
    const remote = await connect(url, {
      backoffMs: 1,
      fetch: async (input, init) => {
        const answer = await fetch(input, init)
        if (!String(input).endsWith('/points') || ++calls > 1) return answer
        await answer.arrayBuffer()
        throw new TypeError('the answer was lost')
      },
    })
    const copy = await remote.collection('copy', { dim: DIM, metric: 'l2' })
    const { lsn } = await copy.fromArrow(bytes)
    expect(calls).toBe(2)
    expect((await copy.upsert([{ id: 'next', vector: new Float32Array(DIM) }])).lsn).toBe(lsn + 1)
  })

  it.each([
    ['nothing', new Uint8Array(0)],
    ['text', new TextEncoder().encode('no arrow at all, but long enough to look at')],
    ['zeros', new Uint8Array(4_096)],
  ])('of %s is refused, and nothing is written', async (_, bytes) => {
    const { docs } = await filled()
    await expect(docs.fromArrow(bytes)).rejects.toMatchObject({ status: 400 })
    expect(await docs.count()).toBe(ROWS)
  })

  it.each(['half of it', 'a byte of its vectors flipped', 'of another dimension'])(
    '%s is refused or means the rows that it holds, and the server lives',
    async what => {
      const { url, docs } = await filled()
      const bytes = await bytesOf(docs)
      const wrong = what === 'half of it' ? bytes.slice(0, bytes.length / 2) : bytes.slice()
      if (what.includes('flipped')) wrong[Math.floor(bytes.length * 0.6)]! ^= 0xff
      const dim = what.includes('dimension') ? DIM + 1 : DIM
      const copy = await (await connect(url, { retries: 0 })).collection('copy', { dim, metric: 'l2' })
      const outcome = await copy.fromArrow(wrong).then(
        ({ rows }) => rows,
        error => error,
      )
      if (typeof outcome === 'number') expect(await copy.count()).toBe(outcome)
      else expect(outcome).toMatchObject({ status: 400, code: expect.stringMatching(/^DRIFT_/) })
      expect(await docs.count()).toBe(ROWS)
    },
  )

  it.each(['limit', 'vectors'])('a scan as Arrow has no option %s', async option => {
    const { url } = await filled()
    const values: Record<string, unknown> = { limit: 1, vectors: false }
    const answer = await fetch(`${url}/v1/collections/docs/scan`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: ARROW_TYPE },
      body: JSON.stringify({ [option]: values[option] }),
    })
    expect([answer.status, await answer.json()]).toMatchObject([400, { error: { code: 'DRIFT_OPTION' } }])
  })

  it('that the client stops reading ends in the server, whose slots for long calls are free again', async () => {
    const { url } = await started({ limits: { longCalls: 1 } })
    const docs = await (await connect(url)).collection('docs', { dim: 512, metric: 'l2' })
    const rows = 3_000
    const ids = Array.from({ length: rows }, (_, i) => i)
    await docs.upsert({ ids, vectors: randomVectors(rows, 512, 2) })
    for (let round = 0; round < 2; round++) {
      for await (const part of docs.toArrow()) {
        expect(part.length).toBeGreaterThan(0)
        break
      }
    }
    expect(tableFromIPC(await bytesOf(docs)).numRows).toBe(rows)
  })
})
