/**
 * A body as it comes in: into memory of its full length when that is said beforehand, so that no large body is put together at its end, in
 * one long step. Rule: what was announced is what has to come; one byte more or less, and the request is refused.
 */
import type { Hash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { HttpError } from './errors.js'

/** Up to here what came in one piece stays where it is: it is looked at within the tick. */
const SMALL_BYTES = 64 * 1024

/**
 * @param length - the field content-length, if there is one.
 * @param limit - bytes.
 * @param hash - told of every byte as it comes, so that no large body is hashed in one long step either.
 * @param done - called once, with memory that is the caller's.
 */
export function readBody(
  stream: Readable,
  length: string | undefined,
  limit: number,
  hash: Hash | undefined,
  done: (error: Error | null, body?: Buffer) => void,
): void {
  const expected = length === undefined ? undefined : Number(length)
  if (expected !== undefined && !Number.isSafeInteger(expected)) {
    done(wrongLength())
    return
  }
  if (expected !== undefined && expected > limit) {
    done(tooLarge(limit))
    return
  }
  if (stream.readableEnded || stream.destroyed) {
    done(
      new HttpError(
        'DRIFT_REQUEST',
        'the body was read before it came here: let no body parser stand before this',
      ),
    )
    return
  }
  let received = 0
  let whole: Buffer | undefined
  /** Of a body without a length. */
  const parts: Buffer[] = []

  const end = (error: Error | null, body?: Buffer): void => {
    stream.off('data', take)
    stream.off('end', ended)
    stream.off('error', failed)
    done(error, body)
  }
  const take = (given: Buffer | string): void => {
    const chunk = typeof given === 'string' ? Buffer.from(given) : given
    hash?.update(chunk)
    const at = received
    received += chunk.length
    if (received > (expected ?? limit)) end(expected === undefined ? tooLarge(limit) : wrongLength())
    else if (expected === undefined) parts.push(chunk)
    else if (received === expected && at === 0 && received <= SMALL_BYTES) whole = chunk
    else {
      whole ??= Buffer.allocUnsafeSlow(expected)
      whole.set(chunk, at)
    }
  }
  const ended = (): void => {
    if (expected === undefined) end(null, Buffer.concat(parts, received))
    else if (received === expected) end(null, whole ?? Buffer.alloc(0))
    else end(wrongLength())
  }
  const failed = (cause: Error): void => {
    end(new HttpError('DRIFT_REQUEST', 'the body broke off', {}, { cause }))
  }
  stream.on('data', take)
  stream.on('end', ended)
  stream.on('error', failed)
  stream.resume()
}

function tooLarge(limit: number): HttpError {
  return new HttpError('DRIFT_BODY_TOO_LARGE', `a body of this type has at most ${limit} bytes`, { limit })
}

function wrongLength(): HttpError {
  return new HttpError('DRIFT_REQUEST', 'the body is not as long as content-length says')
}
