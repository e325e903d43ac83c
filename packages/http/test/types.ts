// Does not compile unless the client, the engine and the server's schemas name the same fields in options and answers, and what the engine
// answers is what the client says of it. "Holds" below is what fails.
import type * as Client from '@drift/client'
import type * as Engine from '@drift/server'
import type { Static } from 'typebox'
import type * as Schema from '../src/schema.js'

/** JSON has vectors as arrays, and bigints as objects. */
type Value =
  | string
  | number
  | bigint
  | boolean
  | Float32Array
  | readonly number[]
  | { readonly $bigint: string }
/** All names in an object, also of fields that are not always there. */
type Fields<T> = [NonNullable<T>] extends [Value]
  ? 'value'
  : NonNullable<T> extends readonly (infer Item)[]
    ? readonly Fields<Item>[]
    : { readonly [Name in keyof NonNullable<T>]-?: Fields<NonNullable<T>[Name]> }
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
type Holds<It extends true> = It
type SameFields<A, B> = Same<Fields<A>, Fields<B>>
type Fits<From, To> = [From] extends [To] ? true : false
type Answer<Method extends (...given: never[]) => Promise<unknown>> = Awaited<ReturnType<Method>>

/** A server tells `failing` for `lastError`, and does not tell its path. */
type Stats<Of> = Omit<Of, 'path' | 'failing'>
type EngineExplanation = Answer<Engine.Collection['explain']>
/** Of filters the schemas say no more than that they are objects: the engine reads them. */
type Waited<Options> = {
  readonly [Name in Exclude<keyof Options, 'signal' | 'onProgress'>]: Name extends 'filter'
    ? 'value'
    : Options[Name]
}
type BatchOptions = NonNullable<Parameters<Client.RemoteCollection['searchBatch']>[1]>
type Maintain = NonNullable<Parameters<Client.RemoteCollection['maintain']>[0]>

type FieldsOfEngine = [
  Holds<SameFields<Stats<Client.DriftStats>, Stats<Engine.DriftStats>>>,
  Holds<SameFields<Client.CollectionStats, Engine.CollectionStats>>,
  Holds<SameFields<Client.Explanation, EngineExplanation>>,
  Holds<SameFields<Client.HealReport, Engine.HealReport>>,
  Holds<SameFields<Client.CheckReport, Engine.CheckReport>>,
  Holds<SameFields<Client.UpsertResult, Engine.UpsertResult>>,
  Holds<SameFields<Client.DeleteResult, Engine.DeleteResult>>,
  Holds<SameFields<Answer<Client.RemoteCollection['updatePayload']>, Engine.UpdateResult>>,
  Holds<SameFields<Client.BatchHits, Engine.BatchHits>>,
  Holds<SameFields<Client.Hit, Engine.Hit>>,
  Holds<SameFields<Client.StoredRow, Engine.StoredRow>>,
  Holds<SameFields<Client.ScannedRow, Engine.ScannedRow>>,
  Holds<SameFields<Waited<Client.SearchOptions>, Waited<Engine.SearchOptions>>>,
  Holds<SameFields<Waited<BatchOptions>, Waited<Engine.BatchSearchOptions>>>,
  Holds<SameFields<Waited<Client.ScanOptions>, Waited<Engine.ScanOptions>>>,
  Holds<SameFields<Waited<Client.GetOptions>, Waited<Engine.GetOptions>>>,
  Holds<SameFields<Waited<Maintain>, Waited<Engine.MaintainOptions>>>,
  Holds<SameFields<Client.CollectionOptions, Engine.CollectionOptions>>,
  Holds<SameFields<Client.Row, Engine.Row>>,
  Holds<SameFields<Client.Columns, Engine.Columns>>,
]
type ValuesOfEngine = [
  Holds<Fits<Engine.DriftStats, Client.DriftStats>>,
  Holds<Fits<Engine.CollectionStats, Client.CollectionStats>>,
  Holds<Fits<EngineExplanation, Client.Explanation>>,
  Holds<Fits<Engine.HealReport, Client.HealReport>>,
  Holds<Fits<Engine.CheckReport, Client.CheckReport>>,
  Holds<Fits<Engine.UpsertResult, Client.UpsertResult>>,
  Holds<Fits<Engine.DeleteResult, Client.DeleteResult>>,
  Holds<Fits<Engine.UpdateResult, Answer<Client.RemoteCollection['updatePayload']>>>,
  Holds<Fits<Engine.BatchHits, Client.BatchHits>>,
  Holds<Fits<Engine.Hit, Client.Hit>>,
  Holds<Fits<Engine.StoredRow, Client.StoredRow>>,
  Holds<Fits<Engine.ScannedRow, Client.ScannedRow>>,
  Holds<Same<Client.Filter, Engine.Filter>>,
  Holds<Fits<Client.SearchOptions, Engine.SearchOptions>>,
  Holds<Fits<Client.ScanOptions, Engine.ScanOptions>>,
  Holds<Fits<Client.GetOptions, Engine.GetOptions>>,
  Holds<Fits<Maintain, Engine.MaintainOptions>>,
  Holds<Fits<Client.CollectionOptions, Engine.CollectionOptions>>,
  Holds<Fits<Client.Row, Engine.Row>>,
  Holds<Fits<Client.Columns, Engine.Columns>>,
]
type FieldsOfSchemas = [
  Holds<SameFields<Client.DriftStats, Static<typeof Schema.DatabaseStats>>>,
  Holds<SameFields<Client.CollectionStats, Static<typeof Schema.CollectionReport>>>,
  Holds<SameFields<Client.Explanation, Static<typeof Schema.Explained>>>,
  Holds<SameFields<Client.CheckReport, Static<typeof Schema.CheckAnswer>>>,
  Holds<SameFields<Client.UpsertResult, Static<typeof Schema.Upserted>>>,
  Holds<SameFields<Client.DeleteResult, Static<typeof Schema.Deleted>>>,
  Holds<SameFields<Client.Hit, Static<typeof Schema.Hits>['hits'][number]>>,
  Holds<SameFields<Client.ScannedRow, Static<typeof Schema.StoredRowSchema>>>,
  Holds<SameFields<Waited<Client.SearchOptions>, Waited<Static<typeof Schema.SearchOptionsSchema>>>>,
  Holds<SameFields<Waited<Client.ScanOptions>, Waited<Omit<Static<typeof Schema.ScanBody>, 'ordered'>>>>,
  Holds<SameFields<Waited<Client.GetOptions>, Omit<Static<typeof Schema.GetBody>, 'ids'>>>,
  Holds<SameFields<Waited<Maintain>, Static<typeof Schema.MaintainBody>>>,
  Holds<SameFields<Client.CollectionOptions, Static<typeof Schema.CollectionBody>>>,
]

/** @public Looked at by the compiler alone. */
export type SameEverywhere = [FieldsOfEngine, ValuesOfEngine, FieldsOfSchemas]
