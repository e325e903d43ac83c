/** .jsonl: an object a line, its id and vector, and its payload: a field of that name, or else all the others. */
import { stat } from 'node:fs/promises'
import type { Payload } from '@drift/client'
import { jsonId } from '../json.js'
import { linesOf } from './lines.js'
import type { Source, SourceOptions, SourceRow, Unreadable } from './source.js'

/** Of a line that cannot be read, in the file of rejects. */
const SHOWN_CHARS = 200

export async function openJsonLines(path: string, options: SourceOptions): Promise<Source> {
  const { size } = await stat(path)
  let read = 0
  return {
    dim: undefined,
    share: () => (size > 0 ? Math.min(1, read / size) : 1),
    async *rows(skip) {
      let number = -1
      for await (const { line, text } of linesOf(path, bytes => {
        read += bytes
      })) {
        if (text?.trim() === '' || ++number < skip) continue
        yield { number, line, ...rowOf(text, options) }
      }
    },
    close: async () => undefined,
  }
}

function rowOf(
  text: string | undefined,
  { idField = 'id', vectorField = 'vector' }: SourceOptions,
): Omit<SourceRow, 'number'> | Omit<Unreadable, 'number'> {
  if (text === undefined) return { reason: 'the line is not UTF-8' }
  const shown = text.slice(0, SHOWN_CHARS)
  let fields: Record<string, unknown>
  try {
    fields = JSON.parse(text) as Record<string, unknown>
  } catch (error) {
    return { reason: `the line is not JSON: ${(error as Error).message}`, text: shown }
  }
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields))
    return { reason: 'the line is not a JSON object', text: shown }
  const { [idField]: id, [vectorField]: vector, payload, ...rest } = fields
  for (const [name, value] of [
    [idField, id],
    [vectorField, vector],
  ] as const) {
    if (value === undefined) return { reason: `there is no field '${name}'`, text: shown }
  }
  const [more] = Object.keys(rest)
  if (more !== undefined && payload !== undefined && payload !== null)
    return { reason: `there is a field '${more}' beside 'payload', which would be lost`, text: shown }
  const wanted = (payload ?? (more === undefined ? undefined : rest)) as Payload | undefined
  return { id: jsonId(id), vector: vector as number[], ...(wanted === undefined ? {} : { payload: wanted }) }
}
