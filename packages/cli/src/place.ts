/**
 * How far a transfer came, in a file beside the transferred one: what `resume` goes on from after Ctrl-C or a kill. Rule: it
 * never says more than is on disk, and is itself old or new, never half.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { CliError } from './errors.js'

export class PlaceFile<T extends object> {
  readonly #path: string
  /** Of what the place is: of anything else there is none. */
  readonly #identity: string

  constructor(path: string, identity: unknown) {
    this.#path = path
    this.#identity = JSON.stringify(identity)
  }

  async read(): Promise<T | undefined> {
    try {
      const { identity, ...place } = JSON.parse(await readFile(this.#path, 'utf8')) as T & {
        identity: string
      }
      return identity === this.#identity ? (place as unknown as T) : undefined
    } catch (error) {
      // Not there; or cut by a loss of power, and then all is done again, which changes nothing.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return undefined
      throw error
    }
  }

  async write(place: T): Promise<void> {
    const unfinished = `${this.#path}.tmp`
    await writeFile(unfinished, JSON.stringify({ identity: this.#identity, ...place }))
    await rename(unfinished, this.#path)
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true })
  }
}

/** The same error, if it has a code, which also says that what is done stays. @param rows - what stays, in words, and `more` for who reads no words. */
export function resumable(error: unknown, rows: string, more: Readonly<Record<string, unknown>>): unknown {
  const { code, message, details } = error as CliError
  if (code === undefined) return error
  const hint = `${rows}; --resume goes on behind them`
  return new CliError(code, `${message} (${hint})`, { ...details, ...more }, { cause: error })
}
