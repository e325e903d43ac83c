/** The place of an import: how many rows of its file are done, and how much of the file of rejects belongs to them. */
import { rm, stat, truncate } from 'node:fs/promises'
import { PlaceFile } from './place.js'
import { broken } from './source/broken.js'

export interface ImportPlace {
  /** Rows of the file that are written or rejected. */
  readonly done: number
  readonly rejected: number
  /** Length of the file of rejects then. */
  readonly rejectBytes: number
}

/** @param target - names the database and collection. @throws CliError DRIFT_IMPORT_FILE */
export async function importPlace(file: string, target: string): Promise<PlaceFile<ImportPlace>> {
  const { size, mtimeMs } = await stat(file).catch(cause => {
    throw broken(file, `cannot be read: ${(cause as Error).message}`, cause)
  })
  return new PlaceFile(`${file}.drift-import.json`, [size, mtimeMs, target])
}

/** The file of rejects as it was at that place, made when there is none; what was written behind it is written again. */
export async function cutRejects(path: string, { rejectBytes }: ImportPlace): Promise<void> {
  try {
    if ((await stat(path)).size <= rejectBytes) return
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (rejectBytes === 0) return rm(path)
  await truncate(path, rejectBytes)
}
