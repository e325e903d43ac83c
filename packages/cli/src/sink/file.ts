/** A file that is written from its beginning to its end, in blocks. It knows the digest of what it holds, so that a later run goes on behind that and nothing else. */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

const BLOCK_BYTES = 256 * 1024

/** How far a file is written, and the SHA-256 of that as base64. */
export interface Written {
  readonly bytes: number
  readonly digest: string
}

/** The beginning of a file that is there. */
export interface Kept {
  readonly bytes: number
  readonly hash: Hash
}

/** @returns what is to be kept of a file; undefined when it does not begin with what was written. @throws the signal's reason, or why it cannot be read. */
export async function keptOf(
  path: string,
  { bytes, digest }: Written,
  signal: AbortSignal | undefined,
): Promise<Kept | undefined> {
  const hash = createHash('sha256')
  let read = 0
  try {
    for await (const block of createReadStream(path, { end: bytes - 1, highWaterMark: BLOCK_BYTES })) {
      signal?.throwIfAborted()
      hash.update(block as Buffer)
      read += (block as Buffer).length
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  return read === bytes && digestOf(hash) === digest ? { bytes, hash } : undefined
}

export class SinkFile {
  readonly #file: FileHandle
  /** Of all that is written. */
  readonly #hash: Hash
  #waiting: Uint8Array[] = []
  #bytes = 0
  /** Where the next block goes. */
  #end: number

  private constructor(file: FileHandle, { bytes, hash }: Kept) {
    this.#file = file
    this.#end = bytes
    this.#hash = hash
  }

  /** @param kept - stays of a file that is there: what comes is written behind it. Default: nothing. */
  static async open(path: string, kept?: Kept): Promise<SinkFile> {
    if (!kept) return new SinkFile(await open(path, 'w'), { bytes: 0, hash: createHash('sha256') })
    const file = await open(path, 'r+')
    try {
      await file.truncate(kept.bytes)
      return new SinkFile(file, kept)
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

  /** What was added is on disk. @returns all of it. */
  async sync(): Promise<Written> {
    await this.#write()
    await this.#file.datasync()
    return { bytes: this.#end, digest: digestOf(this.#hash) }
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
    this.#hash.update(block)
    for (let done = 0; done < block.length; ) {
      const { bytesWritten } = await this.#file.write(block, done, block.length - done, this.#end)
      done += bytesWritten
      this.#end += bytesWritten
    }
  }
}

/** So far. */
function digestOf(hash: Hash): string {
  return hash.copy().digest('base64')
}
