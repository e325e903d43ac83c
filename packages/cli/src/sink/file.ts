/** A file that is written from its beginning to its end, in blocks. */
import { type FileHandle, open } from 'node:fs/promises'

const BLOCK_BYTES = 256 * 1024

export class SinkFile {
  readonly #file: FileHandle
  #waiting: Uint8Array[] = []
  #bytes = 0
  #busy = false

  private constructor(file: FileHandle) {
    this.#file = file
  }

  static async create(path: string): Promise<SinkFile> {
    return new SinkFile(await open(path, 'w'))
  }

  /** Whether a block is being written. */
  get busy(): boolean {
    return this.#busy
  }

  /** Not again before it resolved. The bytes may not change until the file is closed. */
  async add(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    this.#waiting.push(bytes)
    this.#bytes += bytes.length
    if (this.#bytes >= BLOCK_BYTES) await this.#write()
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
    this.#busy = true
    const block = Buffer.concat(this.#waiting)
    this.#waiting = []
    this.#bytes = 0
    for (let done = 0; done < block.length; ) {
      // No position: behind what was written before.
      const { bytesWritten } = await this.#file.write(block, done, block.length - done)
      done += bytesWritten
    }
    this.#busy = false
  }
}
