/** Arrow IPC, file or stream: the columns of the id and the vector; the others are the payload, as `export` and `toArrow` write them. */
import { open } from 'node:fs/promises'
import { broken } from './broken.js'
import type { Source, SourceOptions } from './source.js'

export async function openArrow(path: string, { idField, vectorField }: SourceOptions): Promise<Source> {
  const { arrowRows, DriftError } = await import('@drift/server')
  const file = await open(path, 'r')
  const names = {
    ...(idField === undefined ? {} : { id: idField }),
    ...(vectorField === undefined ? {} : { vector: vectorField }),
  }
  return {
    dim: undefined,
    share: () => undefined,
    async *rows(skip) {
      let number = skip
      try {
        for await (const row of arrowRows(file, { ...names, skip })) {
          if (row instanceof DriftError) yield { number, reason: row.message }
          else yield { number, ...row }
          number++
        }
      } catch (error) {
        if (!(error instanceof DriftError)) throw error
        throw broken(path, `cannot be read behind row ${number}: ${error.message}`, error)
      }
    },
    // Arrow closes a handle that it has read to its end.
    close: () => file.close().catch(() => undefined),
  }
}
