// Proves: payloads have the type that a collection was asked for with, in the compiler; what is asked for without one stays as it was.
import { expect, expectTypeOf, it } from 'vitest'
import type { Collection, Hit, Payload, StoredRow } from '../src/index.js'
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
