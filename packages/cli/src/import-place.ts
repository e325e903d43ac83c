/**
 * How far an import came, in a file beside the imported one: what `resume` goes on from after Ctrl-C or a kill. Rule: it
 * never says more than is on disk in the database, and is itself old or new, never half.
 */
import { readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { broken } from './source/broken.js'

export interface Place {
  /** Rows of the file that are written or rejected. */
  readonly done: number
  readonly rejected: number
  /** Length of the file of rejects then. */
  readonly rejectBytes: number
}

const START: Place = { done: 0, rejected: 0, rejectBytes: 0 }

export class ImportPlace {
  readonly #path: string
  /** What was imported into what: of another the place is none. */
  readonly #identity: string

  private constructor(path: string, identity: string) {
    this.#path = path
    this.#identity = identity
  }

  /** @param target - names the database and collection. @throws CliError DRIFT_IMPORT_FILE */
  static async of(file: string, target: string): Promise<ImportPlace> {
    const { size, mtimeMs } = await stat(file).catch(cause => {
      throw broken(file, `cannot be read: ${(cause as Error).message}`, cause)
    })
    return new ImportPlace(`${file}.drift-import.json`, JSON.stringify([size, mtimeMs, target]))
  }

  async read(): Promise<Place> {
    try {
      const { identity, ...place } = JSON.parse(await readFile(this.#path, 'utf8')) as Place & {
        identity: string
      }
      return identity === this.#identity ? place : START
    } catch (error) {
      // Not there; or cut by a loss of power, and then every row is written again, which changes nothing.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return START
      throw error
    }
  }

  async write(place: Place): Promise<void> {
    const unfinished = `${this.#path}.tmp`
    await writeFile(unfinished, JSON.stringify({ identity: this.#identity, ...place }))
    await rename(unfinished, this.#path)
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true })
  }
}

/** The file of rejects as it was at that place, made when there is none; what was written behind it is written again. */
export async function cutRejects(path: string, { rejectBytes }: Place): Promise<void> {
  try {
    if ((await stat(path)).size <= rejectBytes) return
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if (rejectBytes === 0) return rm(path)
  await truncate(path, rejectBytes)
}
