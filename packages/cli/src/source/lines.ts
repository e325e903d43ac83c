/**
 * A text file line by line, in bounded memory, with the number of each line and the bytes read so far. Lines end with LF
 * or CRLF; a byte order mark is no text.
 */
import { createReadStream } from 'node:fs'
import { broken } from './broken.js'

/** More than the longest row: 4 096 values of 24 characters, an id and 64 KiB of payload, escaped. */
const MAX_LINE_BYTES = 8 * 1024 * 1024
const LF = 10

export interface Line {
  /** From 1. */
  readonly line: number
  /** Undefined when its bytes are not UTF-8. */
  readonly text: string | undefined
}

/** @param onBytes - told of the bytes that were read. @throws CliError DRIFT_IMPORT_FILE for a line that never ends. */
export async function* linesOf(
  path: string,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Line, void, undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const decode = (bytes: Uint8Array): string | undefined => {
    try {
      return decoder.decode(bytes)
    } catch {
      return undefined
    }
  }
  const rest: Buffer[] = []
  let [restBytes, line] = [0, 0]
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    onBytes(chunk.length)
    let from = 0
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, from)) {
      rest.push(chunk.subarray(from, end))
      yield { line: ++line, text: decode(rest.length === 1 ? rest[0]! : Buffer.concat(rest)) }
      rest.length = 0
      restBytes = 0
      from = end + 1
    }
    rest.push(chunk.subarray(from))
    restBytes += chunk.length - from
    if (restBytes > MAX_LINE_BYTES) {
      throw broken(path, `has more than ${MAX_LINE_BYTES} bytes in line ${line + 1}`)
    }
  }
  if (restBytes > 0) yield { line: ++line, text: decode(Buffer.concat(rest)) }
}
