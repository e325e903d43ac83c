/**
 * A file's or database's identity: 16 bytes on disk, 32 lower-case hex digits everywhere else, so that manifests, maps and messages
 * share one spelling. Its bits are the caller's; no version or variant is looked at.
 */
import { requireArgument } from './errors.js'

const UUID = /^[0-9a-f]{32}$/

export function isUuid(text: unknown): text is string {
  return typeof text === 'string' && UUID.test(text)
}

export function uuidBytes(uuid: string): Uint8Array {
  requireArgument(isUuid(uuid), () => `uuid ${JSON.stringify(uuid)} is not 32 lower-case hex digits`)
  return new Uint8Array(Buffer.from(uuid, 'hex'))
}

export function uuidText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, 16).toString('hex')
}
