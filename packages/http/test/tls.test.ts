// Proves, over real sockets: a server with TLS answers whoever trusts its certificate, nobody without TLS and nobody with an old version
// of it, and may be reached from other machines when it has keys, too.
import { request } from 'node:https'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls, type SecureVersion } from 'node:tls'
import { describe, expect, it } from 'vitest'
import { createKey, type DriftServer } from '../src/index.js'
import { type Certificate, selfSigned } from './certificate.js'
import { started, temporaryFolder } from './fixture.js'

interface Answer {
  readonly status: number
  readonly text: string
}

async function secured(): Promise<{ server: DriftServer; tls: Certificate; key: string }> {
  const tls = selfSigned(temporaryFolder())
  const { certFile, keyFile } = tls
  const { key, hash } = createKey()
  const server = await started({
    host: '0.0.0.0',
    tls: { certFile, keyFile },
    keys: [{ id: 'me', hash, scope: 'admin' }],
  })
  return { server, tls, key }
}

function ask(port: number, path: string, ca: string | undefined, key?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
    const options = { host: '127.0.0.1', servername: 'localhost', port, path, headers, agent: false, ca }
    const asking = request(options, async answer => {
      const parts: Buffer[] = []
      for await (const part of answer) parts.push(part as Buffer)
      resolve({ status: answer.statusCode!, text: Buffer.concat(parts).toString() })
    })
    asking.on('error', reject).end()
  })
}

function handshake(port: number, ca: string, maxVersion: SecureVersion): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', servername: 'localhost', port, ca }
    const socket = connectTls({ ...options, minVersion: 'TLSv1', maxVersion }, () => {
      resolve(socket.getProtocol())
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

describe('with TLS', () => {
  it('who trusts the certificate and has a key is answered, from any address', async () => {
    const { server, tls, key } = await secured()
    expect(server.url).toMatch(/^https:\/\/0\.0\.0\.0:\d+$/)
    expect(await ask(server.port, '/v1/collections', tls.cert, key)).toEqual({
      status: 200,
      text: '{"collections":[]}',
    })
    expect((await ask(server.port, '/v1/collections', tls.cert)).status).toBe(401)
    expect((await ask(server.port, '/livez', tls.cert)).status).toBe(200)
  })

  it('who does not know the certificate does not go on', async () => {
    const { server, key } = await secured()
    await expect(ask(server.port, '/v1/collections', undefined, key)).rejects.toMatchObject({
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    })
    const { cert } = selfSigned(temporaryFolder())
    await expect(ask(server.port, '/v1/collections', cert, key)).rejects.toThrow(/self-signed|signature/)
  })

  it('TLS 1.2 and 1.3 are spoken, and nothing older', async () => {
    const { server, tls } = await secured()
    expect(await handshake(server.port, tls.cert, 'TLSv1.3')).toBe('TLSv1.3')
    expect(await handshake(server.port, tls.cert, 'TLSv1.2')).toBe('TLSv1.2')
    await expect(handshake(server.port, tls.cert, 'TLSv1.1')).rejects.toThrow()
  })

  it('a request in plain text, and bytes that are nothing, get no answer, and the server lives', async () => {
    const { server, tls, key } = await secured()
    for (const text of [
      `GET /v1/collections HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${key}\r\n\r\n`,
      '\0'.repeat(1_000),
      '',
    ]) {
      const answer = await new Promise<string>(resolve => {
        let got = ''
        const socket = connectTcp(server.port, '127.0.0.1', () => socket.end(text))
        socket.on('data', part => (got += part.toString('latin1')))
        socket.on('error', () => resolve(got)).on('close', () => resolve(got))
      })
      expect(answer).not.toMatch(/200|collections/)
    }
    expect((await ask(server.port, '/v1/collections', tls.cert, key)).status).toBe(200)
  })
})
