/** A file that is written from its beginning to its end, in blocks. */
import { type FileHandle, open } from 'node:fs/promises'

const BLOCK_BYTES = 256 * 1024

export class SinkFile {
  readonly #file: FileHandle
  #waiting: Uint8Array[] = []
  #bytes = 0
  /** Where the next block goes. */
  #end: number

  private constructor(file: FileHandle, end: number) {
    this.#file = file
    this.#end = end
  }

  /** @param keep - bytes that stay of a file that is there: what comes is written behind them. Default: none. */
  static async open(path: string, keep = 0): Promise<SinkFile> {
    if (keep === 0) return new SinkFile(await open(path, 'w'), 0)
    const file = await open(path, 'r+')
    try {
      await file.truncate(keep)
      return new SinkFile(file, keep)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Not again before it resolved. The bytes may not change until the file is closed. */
  async add(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    this.#waiting.push(bytes)
    this.#bytes += bytes.length
    if (this.#bytes >= BLOCK_BYTES) await this.#write()
  }

  /** What was added is on disk. @returns the length of the file. */
  async sync(): Promise<number> {
    await this.#write()
    await this.#file.datasync()
    return this.#end
  }

  /** Closes the file. @param head - written over its beginning. */
  async end(head?: Uint8Array): Promise<void> {
    try {
      await this.#write()
      if (head) await this.#file.write(head, 0, head.length, 0)
      await this.#file.datasync()
    } finally {
      await this.close()
    }
  }

  /** Idempotent; what was not written is forgotten. */
  async close(): Promise<void> {
    await this.#file.close()
  }

  async #write(): Promise<void> {
    const block = Buffer.concat(this.#waiting)
    this.#waiting = []
    this.#bytes = 0
    for (let done = 0; done < block.length; ) {
      const { bytesWritten } = await this.#file.write(block, done, block.length - done, this.#end)
      done += bytesWritten
      this.#end += bytesWritten
    }
  }
}
