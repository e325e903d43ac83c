// What a database must hold, as text: one line a row, in one order, so that two states are equal when their texts are.
import type { Collection, Drift, Payload } from '@drift/server'

/** Id to row as `rowText` writes it, by collection. */
export type State = Map<string, Map<string, string>>

export interface ModelRow {
  readonly id: string | number
  readonly vector: Float32Array
  readonly payload?: Payload
}

export const DIM = 4
/** The payload key that workloads index and filter by; its values are 0 .. GROUPS - 1. */
export const GROUP = 'group'
export const GROUPS = 4

export function idText(id: unknown): string {
  return `${typeof id} ${id}`
}

export function rowText({ vector, payload }: Pick<ModelRow, 'vector' | 'payload'>): string {
  return `${vector.join()} ${payload ? JSON.stringify(sorted(payload)) : ''}`
}

/** The payload that a row's text holds. */
export function payloadIn(text: string): Payload | undefined {
  const json = text.slice(text.indexOf(' ') + 1)
  return json === '' ? undefined : (JSON.parse(json) as Payload)
}

export function copyOf(state: State): State {
  return new Map([...state].map(([name, rows]) => [name, new Map(rows)]))
}

export function stateText(state: State): string {
  const lines = [...state].sort(byName).flatMap(([name, rows]) => {
    return [`[${name}]`, ...[...rows].sort(byName).map(([id, row]) => `${id}: ${row}`)]
  })
  return lines.join('\n')
}

/** The state that a text tells of. */
export function stateFrom(text: string): State {
  const state: State = new Map()
  let rows = new Map<string, string>()
  for (const line of text.split('\n')) {
    const colon = line.indexOf(': ')
    if (line.startsWith('[')) {
      rows = new Map()
      state.set(line.slice(1, -1), rows)
    } else if (colon > 0) rows.set(line.slice(0, colon), line.slice(colon + 2))
  }
  return state
}

/** The vector that a row's text holds. */
export function vectorIn(row: string): Float32Array {
  return Float32Array.from(row.slice(0, row.indexOf(' ')).split(','), Number)
}

/** The same text of an open database. @throws when its own answers do not agree with each other. */
export async function readState(db: Drift): Promise<string> {
  const state: State = new Map()
  for (const name of db.collections()) {
    const collection = await db.collection(name)
    const rows = new Map<string, string>()
    const groups = new Map<unknown, number>()
    for await (const { id, vector, payload } of collection.scan()) {
      if (rows.has(idText(id))) throw new Error(`${idText(id)} is there twice`)
      rows.set(idText(id), rowText(payload ? { vector, payload } : { vector }))
      const group = payload?.[GROUP]
      if (group !== undefined) groups.set(group, (groups.get(group) ?? 0) + 1)
    }
    await agree(collection, rows, groups)
    state.set(name, rows)
  }
  return stateText(state)
}

/** Count, search, payload index and scan tell the same rows. */
async function agree(
  collection: Collection,
  rows: ReadonlyMap<string, string>,
  groups: ReadonlyMap<unknown, number>,
): Promise<void> {
  const count = await collection.count()
  if (count !== rows.size) throw new Error(`count() is ${count}, and a scan gives ${rows.size} rows`)
  const all = { k: rows.size + 10, probes: 1_000_000 }
  const hits = await collection.search(new Float32Array(DIM), all)
  const found = new Set(hits.map(({ id }) => idText(id)))
  const missing = [...rows.keys()].filter(id => !found.has(id))
  if (missing.length > 0 || hits.length !== rows.size)
    throw new Error(`a search of everything gives ${hits.length} of ${rows.size} rows, not ${missing}`)
  const { indexes } = await collection.stats()
  for (let group = 0; indexes[GROUP] && group < GROUPS; group++) {
    const matching = await collection.count({ filter: { [GROUP]: group } })
    if (matching !== (groups.get(group) ?? 0))
      throw new Error(`the index tells ${matching} rows of group ${group}, a scan ${groups.get(group) ?? 0}`)
  }
}

function sorted(payload: Payload): Payload {
  return Object.fromEntries(Object.entries(payload).sort(byName))
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0
}
