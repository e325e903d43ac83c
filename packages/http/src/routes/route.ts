/**
 * A route as data: everything that guards it, describes it and runs it is one value, so a test can hold every one of
 * them to have all of it.
 */
import type { Frame } from '@drift/client/wire'
import type { FastifyReply } from 'fastify'
import type { TSchema } from 'typebox'
import type { Principal, Scope } from '../auth.js'
import type { CollectionDoor, DriftDoor } from '../engine-door.js'
import type { Refusal } from '../errors.js'
import type { Limits } from '../limits.js'

/** What it takes of the machine: which queue it stands in. */
export type Cost = 'light' | 'search' | 'write' | 'long'

export interface Call {
  readonly db: DriftDoor
  readonly params: Readonly<Record<string, string>>
  /** Fits the route's schema; a frame or Arrow bytes where the route takes them. */
  readonly body: unknown
  readonly query: Readonly<Record<string, string | undefined>>
  readonly limits: Limits
  readonly principal: Principal
  /** Aborts when the client goes away; reads only. Made when it is asked for. */
  readonly signal: AbortSignal
  /** The client went away. */
  readonly isCut: boolean
  readonly accept: string
  /** To be told what fails when the status has been sent: notes it for the log and the metrics. @returns how it is answered. */
  failed(error: unknown): Refusal
  readonly backupFolder: string | undefined
  readonly reply: FastifyReply
  /** The collection of the path. @throws DriftError DRIFT_NO_COLLECTION, DRIFT_NAME */
  collection(options?: Readonly<Record<string, unknown>>): Promise<CollectionDoor>
  /** The caller's name for a stored collection; undefined when it is none of theirs. */
  visibleName(stored: string): string | undefined
  /** The name that a collection of the caller has in the engine. */
  storedName(name: string): string
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below /v1; `:name` is a collection. */
  readonly path: string
  /** OpenAPI operation id, and the route's name in metrics. */
  readonly operation: string
  readonly summary: string
  readonly scope: Scope
  readonly cost: Cost
  /** Changes something: takes an idempotency key. */
  readonly writes?: boolean
  /** Of the query string. */
  readonly query?: TSchema
  readonly body?: TSchema
  /** A body may be left out. */
  readonly bodyOptional?: boolean
  /** Also takes a frame. */
  readonly frames?: boolean
  /** Also takes an Arrow IPC stream. */
  readonly arrow?: boolean
  readonly answer: TSchema
  /** What `answer` is sent as. Default: JSON. */
  readonly answerType?: string
  /** Other media types that it answers with. */
  readonly answers?: readonly string[]
  /** A request that succeeds on a collection `notes` of 4 dimensions, metric l2, in a fresh server. */
  readonly example: { readonly body?: unknown; readonly answer: unknown }
  run(call: Call): Promise<unknown>
}

export function isFrame(body: unknown): body is Frame {
  return (body as Frame | undefined)?.values instanceof Float32Array
}
