// Proves: payloads have the type that a collection was asked for with, in the compiler; what is asked for without one stays as it was.
import { expect, expectTypeOf, it } from 'vitest'
import type { Collection, Filter, Hit, Payload, StoredRow } from '../src/index.js'
import { withDatabase } from './churn.js'

/** Interfaces have no index signature: they must do. */
interface Doc {
  readonly lang: string
  readonly year?: number
}

it('a collection gives and takes payloads of its type', async () => {
  await withDatabase(':memory:', {}, async db => {
    const docs = await db.collection<Doc>('docs', { dim: 2, metric: 'l2' })
    await docs.upsert([{ id: 1, vector: [1, 2], payload: { lang: 'en', year: 2020 } }])
    // What may be missing may be undefined.
    const none: Doc | undefined = undefined
    await docs.upsert([{ id: 3, vector: [1, 4], payload: none }])
    const patch: Doc = { lang: 'en' }
    expect(await docs.updatePayload([1], patch)).toMatchObject({ updated: 1 })
    // @ts-expect-error: a number is no lang.
    await docs.upsert([{ id: 2, vector: [1, 3], payload: { lang: 7 } }])
    expectTypeOf(docs).toEqualTypeOf<Collection<Doc>>()
    const [hit] = await docs.search([1, 2], { k: 1, payload: true })
    expectTypeOf(hit).toEqualTypeOf<Hit<Doc> | undefined>()
    expectTypeOf(await docs.get(1)).toEqualTypeOf<StoredRow<Doc> | undefined>()
    expect(hit?.payload?.lang.toUpperCase()).toBe('EN')
    for await (const row of docs.scan({ filter: { lang: 'en' } }))
      expect(row.payload?.year?.toFixed()).toBe('2020')
    const plain = await db.collection('docs')
    expectTypeOf((await plain.get(1))?.payload).toEqualTypeOf<Payload | undefined>()
  })
})

it('a filter with a mistake is refused by the compiler, and everything that the engine takes is not', async () => {
  await withDatabase(':memory:', {}, async db => {
    const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
    const path: string = 'a.b'
    const conditions = [{ a: 1 }, { b: { $in: ['x', null] } }]
    const taken: Filter[] = [
      {},
      { a: 1, 'b.c': 'x', d: null, e: true },
      { [path]: 1 },
      { a: { $gte: 1, $lt: '2024-01-01', $ne: null, $nin: [1, 'x', null, false], $exists: true } },
      { a: { $not: { $not: { $eq: false } } } },
      { a: 1, $and: [{ b: 1 }, {}], $or: conditions, $not: { a: { $gt: 5 }, $not: { b: 1 } } },
      { $and: [{ $or: [{ a: { $in: [] } }] }] },
      Object.freeze({ a: { $in: Object.freeze(['x']) } }),
    ]
    for (const filter of taken) expect(await docs.count({ filter })).toBe(0)
    const inferred = { time: { gte: 5 } }
    const refused: Filter[] = [
      // @ts-expect-error: there is no such operator.
      { time: { $gtx: 5 } },
      // @ts-expect-error: nor without its sign, also when the compiler saw it before.
      inferred,
      // @ts-expect-error: nested fields are a dotted path.
      { author: { name: 'x' } },
      // @ts-expect-error: there is no such operator beside fields.
      { $nor: [{ a: 1 }] },
      // @ts-expect-error: $or takes a list.
      { $or: { a: 1 } },
      // @ts-expect-error: in each of which the same counts.
      { $and: [{ $not: { a: { $exists: 'yes' } } }] },
      // @ts-expect-error: $in takes a list.
      { a: { $in: 'x' } },
      // @ts-expect-error: of scalars.
      { a: { $nin: [{}] } },
      // @ts-expect-error: a list is no value.
      { a: ['x'] },
      // @ts-expect-error: booleans have no order.
      { a: { $gt: true } },
      // @ts-expect-error: a date is text or a number.
      { a: { $gt: new Date(0) } },
      // @ts-expect-error: payloads hold no bigints.
      { a: 1n },
      // @ts-expect-error: $not takes operators.
      { a: { $not: 5 } },
    ]
    for (const filter of refused) {
      await expect(docs.count({ filter })).rejects.toMatchObject({ code: 'DRIFT_FILTER' })
    }
  })
})
