/**
 * .csv: id, vector, then a column for each key of the payloads, in order of first appearance. CSV has text only: `7` and
 * `"7"` become one, and what is no text or number is written as JSON. .jsonl and .arrow keep everything.
 */

import { writable } from '../json.js'
import type { Rows } from '../target.js'
import type { Selection, Sink } from './sink.js'

/** Keys of all payloads, in a pass of their own: a header cannot grow. */
export async function keysOf(rows: Rows, { filter }: Selection): Promise<string[]> {
  const keys = new Set<string>()
  for await (const { payload } of rows.scan({
    vectors: false,
    ...(filter === undefined ? {} : { filter }),
  }))
    for (const key of Object.keys(payload ?? {})) keys.add(key)
  return [...keys]
}

/** @param columns - keys of payloads. */
export function csvSink(columns: readonly string[]): Sink {
  // A key of this name would hide the column; in its own it comes back as a payload's key.
  const names = columns.map(key => (key === 'id' || key === 'vector' ? `payload.${key}` : key))
  return {
    columns,
    head: line(['id', 'vector', ...names]),
    row({ id, vector, payload }) {
      const values = columns.map(key => cell(payload?.[key]))
      return line([String(id), `[${vector!.join(', ')}]`, ...values])
    },
  }
}

function cell(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value, writable) : String(value)
}

/** RFC 4180. */
function line(cells: readonly string[]): string {
  const quoted = cells.map(text => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text))
  return `${quoted.join(',')}\n`
}
