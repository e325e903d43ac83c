/** A certificate for `localhost` that signs itself, valid for this century: X.509 version 1, ECDSA on P-256 (RFC 5280, X.690). */
import { generateKeyPairSync, sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

const SEQUENCE = 0x30
const SET = 0x31
/** ecdsa-with-SHA256 and commonName, as DER has them. */
const ALGORITHM = node(SEQUENCE, node(0x06, Buffer.from('2a8648ce3d040302', 'hex')))
const COMMON_NAME = node(0x06, Buffer.from('550403', 'hex'))

export interface Certificate {
  readonly certFile: string
  readonly keyFile: string
  /** PEM, to be trusted by a client. */
  readonly cert: string
}

/** Files in `folder`. */
export function selfSigned(folder: string): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = node(SEQUENCE, node(SET, node(SEQUENCE, COMMON_NAME, node(0x0c, Buffer.from('localhost')))))
  const validity = node(SEQUENCE, utcTime('000101000000Z'), utcTime('491231235959Z'))
  const serial = node(0x02, Buffer.from([1]))
  const body = node(
    SEQUENCE,
    serial,
    ALGORITHM,
    name,
    validity,
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
  )
  const signature = node(0x03, Buffer.concat([Buffer.from([0]), sign('sha256', body, privateKey)]))
  const base64 = node(SEQUENCE, body, ALGORITHM, signature).toString('base64')
  const cert = `-----BEGIN CERTIFICATE-----\n${base64.replaceAll(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
  const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
  writeFileSync(files.certFile, cert)
  writeFileSync(files.keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  return { ...files, cert }
}

function node(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(header), content])
}

function utcTime(text: string): Buffer {
  return node(0x17, Buffer.from(text))
}
