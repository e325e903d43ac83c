// Speaks HTTP by hand, so that what no client would send can be sent.
import { connect, type Socket } from 'node:net'

export interface Answer {
  readonly status: number
  readonly code: string | undefined
  readonly body: string
}

/** Long enough for a loaded machine; an answer that takes this long is none. */
const PATIENCE_MS = 30_000

/** Sends the bytes and reads the first answer, by its length or to the end of the connection. */
export async function exchange(port: number, ...parts: readonly (string | Uint8Array)[]): Promise<Answer> {
  const socket = connect(port, '127.0.0.1')
  try {
    // A server that refuses early closes while we still write.
    socket.on('error', () => undefined)
    for (const part of parts) socket.write(part)
    return parseAnswer(await read(socket))
  } finally {
    socket.destroy()
  }
}

export interface Message {
  readonly method: string
  readonly path: string
  readonly headers?: readonly (readonly [string, string])[]
  readonly body?: string | Uint8Array
}

/** A request as bytes; content-length is the body's unless headers name another framing. */
export function request({ method, path, headers = [], body }: Message): Uint8Array {
  const bytes = body === undefined ? undefined : Buffer.from(body)
  const framed = headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name))
  const all: (readonly [string, string])[] = [
    ...(headers.some(([name]) => name === 'host') ? [] : [['host', '127.0.0.1'] as const]),
    ['connection', 'close'],
    ...headers,
    ...(bytes && !framed ? [['content-length', String(bytes.length)] as const] : []),
  ]
  const head = `${method} ${path} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
  return Buffer.concat([Buffer.from(head, 'latin1'), bytes ?? Buffer.alloc(0)])
}

export function read(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const timer = setTimeout(
      () => reject(new Error(`no whole answer in ${PATIENCE_MS} ms: '${text}'`)),
      PATIENCE_MS,
    )
    const ended = (): void => {
      clearTimeout(timer)
      resolve(text)
    }
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => {
      text += chunk
      const head = text.indexOf('\r\n\r\n')
      const length = /^content-length: (\d+)/im.exec(text.slice(0, Math.max(head, 0)))?.[1]
      if (head >= 0 && length !== undefined && text.length >= head + 4 + Number(length)) ended()
    })
    socket.on('close', ended)
  })
}

function parseAnswer(text: string): Answer {
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0)
  const body = text.slice(text.indexOf('\r\n\r\n') + 4)
  let code: string | undefined
  try {
    code = (JSON.parse(body) as { error?: { code?: string } }).error?.code
  } catch {
    // Not every answer is JSON.
  }
  return { status, code, body }
}
